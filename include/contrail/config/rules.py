"""What the parts of a spec demand of each other: names, keys, types, windows, metrics, schedules.

The types of single values belong to the models. Expressions are bound in ``expressions``, because that needs DuckDB.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from contrail.config import names
from contrail.config.problems import Problem, hint
from contrail.config.schedules import cron_problem, daily_problem, zone_problem
from contrail.config.score_rules import score_problems
from contrail.config.table_rules import earlier_name_problems, table_problems
from contrail.config.tune_spec import OTHER_NAMES, tune_problems

if TYPE_CHECKING:
    from contrail.config.model_spec import DriftSpec, GateSpec, RetrainSpec
    from contrail.config.spec import PipelineSpec
    from contrail.config.table_spec import TableSpec

METRICS = {"binary": ("auc", "log_loss"), "regression": ("rmse", "mae")}
_OBJECTIVES = {"binary": ("binary:logistic",), "regression": ("reg:", "count:poisson")}
# Parameters of XGBoost by their second name. With both it reads one, and says nothing.
_TWO_NAMES = {**OTHER_NAMES, "random_state": "seed", "n_jobs": "nthread"}
_ALWAYS = ("seed", "nthread")  # each training has them


def problems(spec: "PipelineSpec") -> list[Problem]:
    """List all that is wrong with a spec whose single values are right."""
    return [
        *_own_names(spec),
        *(found for name, table in spec.tables.items() for found in table_problems(("tables", name), table)),
        *_roles(spec),
        *_features(spec),
        *_sensitive(spec),
        *_windows(spec),
        *training_problems(spec),
        *tune_problems(spec.tune),
        *_costs(spec),
        *_drift(spec.drift),
        *_retrain(spec.retrain),
        *_schedule(spec),
    ]


def training_problems(spec: "PipelineSpec") -> list[Problem]:
    """List what is wrong with how the model is trained and judged. A request's changes of ``train`` keep these rules too.

    The days of the window are no part of it: a request may name its own.
    """
    return [*_named_features(spec), *_model(spec), *_policy(spec.gate), *score_problems(spec)]


def _own_names(spec: "PipelineSpec") -> Iterator[Problem]:
    if said := names.pipeline_problem(spec.name):
        yield Problem(("name",), said)
    if said := zone_problem(spec.timezone):
        yield Problem(("timezone",), said)


# ---- entities, label and key ----


def _roles(spec: "PipelineSpec") -> Iterator[Problem]:
    yield from _entities(spec)
    yield from _label(spec)
    if len(set(spec.key)) < len(spec.key) or not spec.key:
        yield Problem(("key",), "the key must have columns, each once")
    for name in spec.key:
        if said := names.key_problem(name):
            yield Problem(("key",), said)


def _entities(spec: "PipelineSpec") -> Iterator[Problem]:
    name = spec.entities
    if name not in spec.tables:
        yield Problem(("entities",), f"no table named '{name}'; {hint(name, list(spec.tables), 'tables')}")
        return
    table = spec.tables[name]
    if table.kind != "daily" or not table.known_ahead:
        yield Problem(
            ("tables", name, "known_ahead"),
            f"the entities table '{name}' must be known_ahead, and daily: it is read at its own cut-off",
        )
    yield from _has_key(spec, "entities", name, table)


def _label(spec: "PipelineSpec") -> Iterator[Problem]:
    name = spec.label.table
    if name not in spec.tables:
        yield Problem(("label", "table"), f"no table named '{name}'; {hint(name, list(spec.tables), 'tables')}")
        return
    table = spec.tables[name]
    if table.kind != "daily" or table.known_ahead:
        yield Problem(("label", "table"), f"'{name}' must be daily and cannot be known_ahead: that would be the future")
    if name != spec.entities:
        yield from _has_key(spec, "label", name, table)
    if spec.entities in spec.tables:
        yield from _same_types(spec, spec.tables[spec.entities], table)


def _has_key(spec: "PipelineSpec", role: str, name: str, table: "TableSpec") -> Iterator[Problem]:
    if missing := [column for column in spec.key if column not in table.columns]:
        near = hint(missing[0], list(table.columns), "its columns")
        yield Problem(("key",), f"key columns {missing} are not columns of the {role} table '{name}'; {near}")
    elif set(table.key) != set(spec.key):
        # With a longer key, an entity would have several rows; with a shorter one, several entities would share a row.
        yield Problem(
            ("tables", name, "key"),
            f"the key of the {role} table is [{', '.join(table.key)}], but that of the pipeline is "
            f"[{', '.join(spec.key)}]. Both must be the same, so that each entity has one row and one label.",
        )


def _same_types(spec: "PipelineSpec", entities: "TableSpec", label: "TableSpec") -> Iterator[Problem]:
    for name in spec.key:
        own, other = entities.columns.get(name), label.columns.get(name)
        if own and other and own.type != other.type:
            yield Problem(
                ("tables", spec.label.table, "columns", name, "type"),
                f"'{name}' is {other.type} here and {own.type} in {spec.entities}; a column of the key has one type",
            )


# ---- features ----


def _features(spec: "PipelineSpec") -> Iterator[Problem]:
    columns = spec.features.columns
    if not columns:
        yield Problem(("features", "columns"), "a model needs one feature at least")
    for name in columns:
        if said := names.feature_problem(name):
            yield Problem(("features", "columns", name), said)
    for name, other in names.same_but_for_case([*spec.key, *(name for name in columns if name not in spec.key)]):
        yield Problem(("features", "columns", name), f"'{name}' differs only in case from the key's column '{other}'")
    entities = spec.tables.get(spec.entities)
    for name in set(columns) & set(spec.key) & set(entities.columns if entities else ()):
        kind = entities.columns[name].type if entities else "int"
        if columns[name].kind == "number" and kind not in ("int", "float", "bool"):
            yield Problem(
                ("features", "columns", name, "kind"), f"'{name}' is a {kind} in {spec.entities}; write kind: category"
            )
    for at, said in earlier_name_problems(columns):
        yield Problem(("features", "columns", *at), said)
    for name in sorted(spec.personal & set(spec.features.categories)):
        said = f"'{name}' is personal, and a model keeps every value of a category; make a group of it, or leave it out"
        yield Problem(("features", "columns", name, "kind"), said)


def _named_features(spec: "PipelineSpec") -> Iterator[Problem]:
    known = list(spec.features.columns)
    named: list[tuple[tuple[int | str, ...], str]] = [
        *(
            (("train", key, n), name)
            for key in ("rate_table", "segments")
            for n, name in enumerate(getattr(spec.train, key))
        ),
        *((("gate", "segments", n, "feature"), floor.feature) for n, floor in enumerate(spec.gate.segments)),
        *([(("train", "offset", "feature"), spec.train.offset.feature)] if spec.train.offset else []),
    ]
    for place, name in named:
        if name not in known:
            yield Problem(place, f"'{name}' is not in features.columns; {hint(name, known, 'features')}")


def _sensitive(spec: "PipelineSpec") -> Iterator[Problem]:
    """A card shows the groups of a sensitive column by their values, so these must be few, and no person's own."""
    table = spec.tables.get(spec.entities)
    types = {name: column.type for name, column in table.columns.items()} if table else {}
    known = [*spec.features.columns, *(name for name in types if name not in spec.features.columns)]
    for n, name in enumerate(spec.sensitive):
        place = ("sensitive", n)
        if name not in known:
            yield Problem(
                place, f"'{name}' is no feature, nor a column of {spec.entities}; {hint(name, known, 'features')}"
            )
        elif name not in spec.features.columns and types[name] in ("date", "timestamp"):
            yield Problem(place, f"'{name}' is a {types[name]}, which makes no groups; make a group of it")
        elif name in spec.personal and types.get(name, "string") == "string":
            yield Problem(place, f"'{name}' is personal, and a card shows the values of its groups; make a group of it")


# ---- model and gate ----


def _model(spec: "PipelineSpec") -> Iterator[Problem]:
    allowed = METRICS[spec.task]
    for place, metric in _metrics(spec):
        if metric not in allowed:
            yield Problem(place, f"{metric} is no metric of a {spec.task} task; use {' or '.join(allowed)}")
    if spec.task == "binary" and (spec.gate.max_calibration_error or 0) > 1:
        yield Problem(("gate", "max_calibration_error"), "for a binary task it lies between 0 and 1")
    for n, floor in enumerate(spec.gate.segments):
        if floor.metric == "auc" and not 0 <= floor.floor <= 1:
            yield Problem(("gate", "segments", n, "floor"), "an auc lies between 0 and 1")
    objective = spec.train.params.get("objective")
    if objective is not None and not str(objective).startswith(_OBJECTIVES[spec.task]):
        fitting = " or ".join(f"{one}…" if one.endswith(":") else one for one in _OBJECTIVES[spec.task])
        yield Problem(("train", "params", "objective"), f"a {spec.task} task needs {fitting}, not {objective}")
    yield from _params(spec)


def _params(spec: "PipelineSpec") -> Iterator[Problem]:
    own = type(spec.train).model_fields
    for name, value in spec.train.params.items():
        if isinstance(value, float) and not math.isfinite(value):
            yield Problem(("train", "params", name), f"{value} is no number")
        if name in own and name != "seed":
            yield Problem(
                ("train", "params", name), f"this is a setting of train: move it out of params, to train.{name}"
            )
    for name, other in _TWO_NAMES.items():
        if name in spec.train.params and (other in spec.train.params or other in _ALWAYS):
            said = (
                f"'{name}' and '{other}' are two names of one parameter, of which XGBoost reads one; use only '{other}'"
            )
            yield from (Problem(("train", "params", each), said) for each in (name, other))


def _policy(gate: "GateSpec") -> Iterator[Problem]:
    """Refuse a key that its policy does not read: whoever set it would believe that it counts."""
    for key, policy in (("margin_share", "not_worse"), ("max_regret_share", "expected")):
        if key in gate.model_fields_set and gate.policy != policy:
            yield Problem(
                ("gate", key), f"only policy {policy} reads it, and the policy is {gate.policy}; leave it out"
            )
    asked, place = gate.min_improvement, ("gate", "min_improvement")
    if gate.policy != "not_worse" and asked < 0:
        yield Problem(place, f"policy {gate.policy} needs 0 or more; with policy: not_worse, {asked:g} is the margin")
    if gate.policy == "not_worse" and asked > 0:
        yield Problem(place, f"policy not_worse needs 0 or less, the margin; {asked:g} is for superior or expected")
    if gate.policy == "not_worse" and asked < 0 and "margin_share" in gate.model_fields_set:
        yield Problem(place, "it is a margin, and so is gate.margin_share; keep one of them")


def _costs(spec: "PipelineSpec") -> Iterator[Problem]:
    if spec.score.costs is None:
        return
    if spec.task != "binary":
        yield Problem(("score", "costs"), "a regression decides nothing; costs are for a binary task")
    if "threshold" in spec.score.model_fields_set:
        yield Problem(("score", "costs"), "the threshold follows from the costs; keep score.threshold or score.costs")


def _metrics(spec: "PipelineSpec") -> Iterator[tuple[tuple[int | str, ...], str]]:
    yield ("gate", "metric"), spec.gate.metric
    for n, floor in enumerate(spec.gate.segments):
        yield ("gate", "segments", n, "metric"), floor.metric


def _windows(spec: "PipelineSpec") -> Iterator[Problem]:
    train = spec.train
    taken = train.validation_days + train.embargo_days
    if train.window_days <= taken + 1:
        yield Problem(
            ("train", "window_days"),
            f"{train.window_days} days leave nothing to learn from: validation_days and embargo_days take {taken}. It must "
            f"be more than {taken + 1}.",
        )
    if spec.last_partition is None:
        return
    days = (spec.last_partition - spec.first_partition).days + 1
    needed = taken + 2 + train.embargo_days + spec.gate.window_days
    if days < 1:
        yield Problem(
            ("last_partition",), f"{spec.last_partition} lies before first_partition, which is {spec.first_partition}"
        )
    elif days < needed:
        yield Problem(
            ("last_partition",),
            f"there are {days} days from {spec.first_partition} to {spec.last_partition}, but training and gate need "
            f"{needed}: make train.validation_days, train.embargo_days or gate.window_days smaller",
        )


def _drift(drift: "DriftSpec") -> Iterator[Problem]:
    if not drift.clear_days < drift.raise_days <= drift.of_days:
        yield Problem(("drift",), "hysteresis needs clear_days < raise_days <= of_days")


def _retrain(retrain: "RetrainSpec") -> Iterator[Problem]:
    if retrain.drift_days > retrain.drift_of_days:
        yield Problem(("retrain",), "retrain needs drift_days <= drift_of_days")


# ---- schedule ----


def _schedule(spec: "PipelineSpec") -> Iterator[Problem]:
    schedule = spec.schedule
    if said := daily_problem(schedule.daily, spec.cutoff, schedule.start_date):
        yield Problem(("schedule", "daily"), said)
    for name in ("train", "maintain"):
        cron = getattr(schedule, name)
        if cron is not None and (said := cron_problem(cron)):
            yield Problem(("schedule", name), said)
    if schedule.start_date < spec.first_partition:
        yield Problem(
            ("schedule", "start_date"),
            f"{schedule.start_date} lies before first_partition, which is {spec.first_partition}",
        )
    elif spec.last_partition is not None and schedule.start_date > spec.last_partition >= spec.first_partition:
        yield Problem(
            ("schedule", "start_date"),
            f"{schedule.start_date} lies after last_partition, which is {spec.last_partition}",
        )
