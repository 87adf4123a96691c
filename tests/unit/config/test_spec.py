"""pipeline.yaml is typed. The error for a wrong key has its file, its path and the nearest valid name."""

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from contrail.config.model_spec import CostSpec, OffsetSpec
from contrail.config.rules import problems
from contrail.config.spec import load_spec, spec_hash
from contrail.errors import SpecError

TOY = Path(__file__).resolve().parents[2] / "pipelines" / "toy"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write the toy spec with one value changed at a dotted path."""

    def change(path: str, value: Any) -> Path:
        values = yaml.safe_load((TOY / "pipeline.yaml").read_text())
        *parents, last = path.split(".")
        target = values
        for parent in parents:
            target = target.setdefault(parent, {})
        target[last] = value
        file = tmp_path / "pipeline.yaml"
        file.write_text(yaml.safe_dump(values))
        return file

    return change


def test_a_personal_text_makes_no_groups_but_a_personal_number_does(write: Callable[..., Path]) -> None:
    values = yaml.safe_load(write("sensitive", ["weight", "name"]).read_text())
    columns = values["tables"]["parcels"]["columns"]
    columns["weight"]["personal"] = True
    columns["name"] = {"type": "string", "personal": True}
    file = write("tables.parcels.columns", columns)
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "sensitive": ["weight", "name"]}))
    with pytest.raises(SpecError, match=r"sensitive\.1: 'name' is personal, and a card shows") as raised:
        load_spec(file)
    assert "sensitive.0" not in str(raised.value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "tables.parcels.columns.depot.personal",
            True,
            "features.columns.depot.kind: 'depot' is personal, and a model keeps every value of a category",
        ),
        (
            "score.costs",
            {"false_alarm": -1, "miss": 4},
            "score.costs.false_alarm: Input should be greater than 0 (got -1)",
        ),
        ("score.costs", {"false_alarm": 0, "miss": 0}, "score.costs.miss: Input should be greater than 0 (got 0)"),
        ("score.costs", {"false_alarm": float("nan"), "miss": 1}, "score.costs.false_alarm: Input should be "),
        (
            "score.costs",
            {"false_alarm": 1e308, "miss": 1},
            "score.costs.false_alarm: Input should be less than or equal",
        ),
        ("score.costs", {"false_alarm": "dear", "miss": 1}, "score.costs.false_alarm: Input should be a valid number"),
        ("score.costs", {"false_alarm": 1}, "score.costs.miss: Field required"),
        ("score.costs", {"false_alarm": 1, "mis": 1}, "score.costs.mis: unknown key; did you mean 'miss'?"),
        (
            "score",
            {"threshold": 0.5, "costs": {"false_alarm": 1, "miss": 2}},
            "score.costs: the threshold follows from",
        ),
        ("onwer", "me", "onwer: unknown key; did you mean 'owner'?"),
        ("train.max_rounds", 3, "train.max_rounds: unknown key; did you mean 'rounds'?"),
        ("tables.parcels.colums", {}, "tables.parcels.colums: unknown key; did you mean 'columns'?"),
        ("tables.parcels.columns.depot.typ", "x", "columns.depot.typ: unknown key; did you mean 'type'?"),
        ("features.columns.weight.dco", "x", "features.columns.weight.dco: unknown key; did you mean 'doc'?"),
        ("task", "classify", "task: Input should be 'binary' or 'regression'"),
        ("first_partition", date(1, 1, 1), "first_partition: Input should be greater than or equal to 1678-01-01"),
        ("last_partition", date(9999, 12, 31), "last_partition: Input should be less than or equal to 2261-12-31"),
        ("schedule.start_date", date(1, 1, 1), "start_date: Input should be greater than or equal to 1678-01-01"),
        ("entities", "parcel", "no table named 'parcel'"),
        ("features.columns.weight.renamed_from", "distance", "'distance' is a column of its own; one name cannot mean"),
        ("tables.parcels.columns.depot.renamed_from", ["weight"], "'weight' is a column of its own"),
        ("key", ["nope"], "key columns ['nope'] are not columns"),
        (
            "tables.deliveries.key",
            ["ship_date", "parcel", "delivered_at"],
            "the key of the label table is [",
        ),
        ("tables.parcels.key", ["ship_date", "parcel", "depot"], "the key of the entities table is ["),
        ("tables.deliveries.kind", "reference", "label.table: 'deliveries' must be daily"),
        ("label.counts", "last", "label.counts: Input should be 'newest' or 'first'"),
        ("tables.deliveries.known_at", "delay", "known_at column delay must have type timestamp"),
        ("tables.deliveries.known_ahead", True, "cannot be known_ahead: that would be the future"),
        ("tables.parcels.known_ahead", False, "must be known_ahead"),
        ("train.segments", ["colour"], "train.segments.0: 'colour' is not in features.columns; features: depot,"),
        ("sensitive", ["colour"], "sensitive.0: 'colour' is no feature, nor a column of parcels; features: depot,"),
        ("sensitive", ["depot", "booked_at"], "sensitive.1: 'booked_at' is a timestamp, which makes no groups"),
        ("retrain", {"drift_days": 6}, "retrain needs drift_days <= drift_of_days"),
        ("drift", {"raise_days": 6}, "hysteresis needs clear_days < raise_days <= of_days"),
    ],
)
def test_a_wrong_spec_names_file_place_and_rule(
    write: Callable[..., Path], path: str, value: Any, message: str
) -> None:
    file = write(path, value)
    with pytest.raises(SpecError) as raised:
        load_spec(file)
    assert str(file) in str(raised.value)
    assert message in str(raised.value)


def test_a_file_that_is_not_yaml_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="does not exist"):
        load_spec(tmp_path / "pipeline.yaml")
    (tmp_path / "pipeline.yaml").write_text("a: [1")
    with pytest.raises(SpecError, match="is not YAML"):
        load_spec(tmp_path / "pipeline.yaml")


def test_the_hash_follows_the_folder(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text("a: 1")
    before = spec_hash(tmp_path)
    (tmp_path / "features.py").write_text("x = 1")
    assert spec_hash(tmp_path) != before


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("name", "a__b", "name: a pipeline's name has lower-case letters and digits, with single underscores"),
        ("name", "contrail", "name: 'contrail' is reserved"),
        ("name", "x" * 41, "name: String should have at most 40 characters"),
        (
            "timezone",
            "America/NewYork",
            "timezone: there is no time zone 'America/NewYork'; did you mean 'America/New_York'?",
        ),
        ("cutoff", 360, 'cutoff: YAML reads this as the number 360; write the time in quotes, as "06:00"'),
        ("cutoff", "06:00+02:00", 'cutoff: write hours and minutes only, as "06:00"; timezone has the zone'),
        ("cutoff", "06:00", "schedule.daily: '0 0 * * *' runs at 00:00, before the cut-off at 06:00"),
        ("schedule.daily", "0 25 * * *", "schedule.daily: '0 25 * * *' is no cron expression"),
        (
            "schedule.train",
            "0 0 31 2 *",
            "schedule.train: '0 0 31 2 *' is no cron expression: failed to find next date",
        ),
        ("schedule.start_date", "2023-12-31", "schedule.start_date: 2023-12-31 lies before first_partition"),
        ("schedule.start_date", "2024-04-01", "schedule.start_date: 2024-04-01 lies after last_partition"),
        ("first_partition", "0001-01-01", "first_partition: Input should be greater than or equal to"),
        ("last_partition", "2023-01-01", "last_partition: 2023-01-01 lies before first_partition"),
        (
            "last_partition",
            "2024-01-20",
            "there are 20 days from 2024-01-01 to 2024-01-20, but training and gate need 25",
        ),
        ("label.expression", "dely > 15", "label.expression: 'dely > 15' does not fit the columns of deliveries"),
        ("label.table", "delivery", "label.table: no table named 'delivery'; did you mean 'deliveries'?"),
        ("label.table", "depots", "label.table: 'depots' must be daily"),
        ("entities", "depots", "tables.depots.known_ahead: the entities table 'depots' must be known_ahead, and daily"),
        ("key", [], "key: the key must have columns, each once"),
        ("key", ["parcel", "parcel"], "key: the key must have columns, each once"),
        (
            "tables.deliveries.key",
            ["ship_date"],
            "the key of the label table is [ship_date], but that of the pipeline is [",
        ),
        (
            "tables.parcels.key",
            ["ship_date", "parcel", "depot"],
            "the key of the entities table is [ship_date, parcel, depot]",
        ),
        ("tables.deliveries.columns.parcel.type", "string", "'parcel' is string here and int in parcels"),
        ("tables.parcels.columns.parcel.required", False, "a column of the key must be required"),
        (
            "tables.parcels.columns.booked_at.required",
            False,
            "known_at must be required: a row without it is never known",
        ),
        ("tables.parcels.columns.Depot", {"type": "int"}, "differs only in case from '"),
        ("tables.parcels.columns._file", {"type": "int"}, "columns._file: the name is one of Contrail's own columns"),
        ("tables.parcels.columns", {}, "tables.parcels.columns: a table needs columns"),
        ("tables.depots.known_ahead", True, "a reference table has no partitions, so it cannot be known ahead"),
        ("tables.Depots", {}, "tables.Depots: a name has lower-case letters, digits and underscores"),
        ("features.columns", {}, "features.columns: a model needs one feature at least"),
        ("features.columns.label", {"doc": "x"}, "features.columns.label: the name is one of Contrail's own columns"),
        ("features.columns.ship_date", {"doc": "x"}, "'ship_date' is a date in parcels; write kind: category"),
        ("gate.metric", "rmse", "gate.metric: rmse is no metric of a binary task; use auc or log_loss"),
        ("gate.max_calibration_error", 1.5, "gate.max_calibration_error: for a binary task it lies between 0 and 1"),
        ("gate.max_calibration_error", float("nan"), "gate.max_calibration_error: Input should be"),
        ("gate.approval_hours", float("inf"), "gate.approval_hours: Input should be"),
        ("gate.policy", "newest", "gate.policy: Input should be 'superior', 'not_worse' or 'expected'"),
        ("gate.min_improvement", -0.05, "expected needs 0 or more; with policy: not_worse, -0.05 is the margin"),
        ("gate.margin_share", 0.2, "gate.margin_share: only policy not_worse reads it, and the policy is expected"),
        ("gate.segments", [{"feature": "depo", "metric": "auc", "floor": 0.5}], "did you mean 'depot'?"),
        (
            "gate.segments",
            [{"feature": "depot", "metric": "auc", "floor": 2}],
            "gate.segments.0.floor: an auc lies between",
        ),
        (
            "gate.segments",
            [{"feature": "depot", "metric": "mae", "floor": 2}],
            "gate.segments.0.metric: mae is no metric of a",
        ),
        ("train.window_days", 9, "train.window_days: 9 days leave nothing to learn from"),
        (
            "train.params",
            {"rounds": 3},
            "train.params.rounds: this is a setting of train: move it out of params, to train.rounds",
        ),
        ("train.params", {"eta": float("inf")}, "train.params.eta: inf is no number"),
        (
            "train.params",
            {"objective": "reg:squarederror"},
            "a binary task needs binary:logistic, not reg:squarederror",
        ),
        ("train.offset", {"feature": "late_rat"}, "train.offset.feature: 'late_rat' is not in features.columns"),
        (
            "train.offset",
            {"feature": "depot"},
            "train.offset.feature: 'depot' is a category; a score starts from a number",
        ),
        ("train.offset", {"feature": "weight", "weight": 0}, "train.offset.weight: Input should be greater than 0"),
        ("score", {"threshold": 1.5}, "score.threshold: Input should be less than 1"),
        ("retrain", {"min_label_coverage": 80}, "retrain.min_label_coverage: Input should be less than or equal to 1"),
        ("drift", {"false_alarm_rate": 5}, "drift.false_alarm_rate: Input should be less than 0.5"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_loaded(
    write: Callable[..., Path], path: str, value: Any, message: str
) -> None:
    with pytest.raises(SpecError) as raised:
        load_spec(write(path, value))
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({"policy": "superior", "min_improvement": -0.01}, "gate.min_improvement: policy superior needs 0 or more"),
        ({"policy": "superior", "max_regret_share": 0.1}, "gate.max_regret_share: only policy expected reads it"),
        ({"policy": "not_worse", "min_improvement": 0.01}, "gate.min_improvement: policy not_worse needs 0 or less"),
        (
            {"policy": "not_worse", "min_improvement": -0.01, "margin_share": 0.1},
            "gate.min_improvement: it is a margin, and so is gate.margin_share; keep one of them",
        ),
    ],
)
def test_a_policy_and_a_number_that_contradict_each_other_are_refused(
    write: Callable[..., Path], gate: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError) as raised:
        load_spec(write("gate", gate))
    assert message in str(raised.value)


def test_a_negative_improvement_is_the_margin_of_not_worse(write: Callable[..., Path]) -> None:
    assert load_spec(write("gate", {"policy": "not_worse", "min_improvement": -0.05})).gate.min_improvement == -0.05


def test_everything_that_is_wrong_is_said_at_once_with_its_line(write: Callable[..., Path]) -> None:
    file = write("timezone", "America/NewYork")
    text = file.read_text().replace("delay > 15", "dely > 15").replace("window_days: 40", "window_days: 8")
    file.write_text(text.replace("owner: tests", "onwer: tests\nowner: tests\nscore: {threshold: 2}"))
    with pytest.raises(SpecError) as raised:
        load_spec(file)
    lines = file.read_text().splitlines()
    found = re.findall(r"^  line (\d+): ([\w.]+): ", str(raised.value), re.MULTILINE)
    assert {place for _, place in found} == {
        "onwer",
        "score.threshold",
        "timezone",
        "label.expression",
        "train.window_days",
    }
    for number, place in found:
        assert place.rpartition(".")[2] in lines[int(number) - 1]
    assert found == sorted(found, key=lambda pair: int(pair[0]))


def test_a_broken_column_is_not_blamed_for_what_rests_on_it(write: Callable[..., Path]) -> None:
    with pytest.raises(SpecError) as raised:
        load_spec(write("tables.parcels.columns.parcel", 7))
    assert len(str(raised.value).splitlines()) == 2


def test_an_experiment_begins_with_the_parameters_of_the_pipeline() -> None:
    project = TOY.parents[2]
    given = yaml.safe_load((project / "params.yaml").read_text())["train"]
    spec = load_spec(project / "include" / "pipelines" / "flight_delay" / "pipeline.yaml")
    assert given == {name: spec.train.params[name] for name in given}


def test_a_regression_has_no_costs_and_no_calibration_step() -> None:
    spec = load_spec(TOY / "pipeline.yaml")
    costs = spec.score.model_copy(update={"costs": CostSpec(false_alarm=1, miss=2)})
    found = problems(spec.model_copy(update={"task": "regression", "score": costs}))
    assert (("score", "costs"), "a regression decides nothing; costs are for a binary task") in found
    steps = spec.train.model_copy(update={"calibration": "beta"})
    found = problems(spec.model_copy(update={"task": "regression", "train": steps}))
    assert (("train", "calibration"), "only probabilities are calibrated; it is for a binary task") in found


@pytest.mark.parametrize("objective", ["count:poisson", "reg:gamma", "reg:tweedie", "reg:logistic"])
def test_trees_that_add_up_in_another_scale_than_their_label_have_no_offset(objective: str) -> None:
    spec = load_spec(TOY / "pipeline.yaml")

    def found(objective: str) -> list[tuple[tuple[int | str, ...], str]]:
        train = spec.train.model_copy(
            update={"offset": OffsetSpec(feature="weight"), "params": {"objective": objective}}
        )
        wrong = problems(spec.model_copy(update={"task": "regression", "train": train}))
        return [(one.place, one.said) for one in wrong if one.place[0] == "train" and "offset" in one.said]

    at_feature, at_objective = found(objective)
    assert (at_feature[0], at_objective[0]) == (("train", "offset", "feature"), ("train", "params", "objective"))
    assert f"the trees of {objective} add up in another scale than the offset" in at_objective[1]
    assert not found("reg:squarederror") and not found("reg:absoluteerror")
