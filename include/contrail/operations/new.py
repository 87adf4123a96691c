"""Make a pipeline of a stranger's sample: its folder under the pipelines' path, and its file of DAGs.

It writes all of it or nothing, and never over anything. What it took for what, it tells with its reasons.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import duckdb
from pydantic import TypeAdapter, ValidationError

from contrail.adapters.sample_files import Sample
from contrail.config import names
from contrail.config.names import PATTERN_WORDS, PipelineName, quoted
from contrail.config.schedules import zone_problem
from contrail.config.settings import Settings, login_name
from contrail.config.spec import load_spec
from contrail.errors import SpecError
from contrail.files import folder_beside, unfinished_beside
from contrail.lake.sessions import session
from contrail.operations.scaffold import plan as plans
from contrail.operations.scaffold.choices import Ask, Choice, Choices, NewOptions
from contrail.operations.scaffold.features import features_of
from contrail.operations.scaffold.known import known_of
from contrail.operations.scaffold.looked import Looked
from contrail.operations.scaffold.plan import Plan, Table
from contrail.operations.scaffold.render import commands, files_of
from contrail.operations.scaffold.roles import roles_of
from contrail.operations.scaffold.samples import read_all
from contrail.operations.scaffold.windows import day, windows_of
from contrail.partitions import Partitions


@dataclass(frozen=True)
class Made:
    """A new pipeline: where its files are, what was taken for what, and the commands to its first predictions."""

    name: str
    folder: Path
    dags: Path
    rows: int
    min_rows: int
    choices: tuple[Choice, ...]
    commands: tuple[str, ...]


def new_pipeline(
    name: str, samples: Sequence[str], options: NewOptions, settings: Settings, ask: Ask | None = None
) -> Made:
    """Write a pipeline.

    Args:
        name: Its name.
        samples: Files of CSV or Parquet, each as a path or as ``table=path``. Files of one header are one table.
        options: What a person says of the sample.
        settings: Where pipelines and DAGs lie.
        ask: Asks a person what the options leave out. None: every guess is taken.

    Raises:
        SpecError: The name is wrong or taken, or an option does not fit the sample.
        DataError: A sample cannot be read, or no pipeline can be made of it. Nothing was written.
    """
    check_name(name, settings)
    if not samples:
        raise SpecError("name a file of yours, CSV or Parquet: contrail new NAME --sample FILE")
    choices = Choices(ask)
    zone = _zone(options, choices)
    with _staged(settings, name) as folder, session(settings) as connection:
        connection.execute("SET preserve_insertion_order = true")
        connection.execute("SET VARIABLE zone = ?", [zone])
        found = read_all(connection, samples, folder / "sample", options, choices, (plans.ASKED, plans.OUTCOMES))
        plan = _planned(name, zone, found, Looked(connection, found[0], options, choices))
        volumes = {table.name: _volume(connection, table) for table in plan.tables if table.known_at}
        texts = files_of(plan, choices.made, login_name(), volumes)
        dag = folder / "dag.py"
        for path, text in texts.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        spec = load_spec(folder / "pipeline.yaml")
        where = _appear(folder, dag, name, settings)
    return Made(name, *where, found[0].rows, spec.gate.min_rows, tuple(choices.made), tuple(commands(plan)))


def check_name(name: str, settings: Settings) -> None:
    """Refuse a name that a pipeline cannot have, or that is taken.

    Raises:
        SpecError: with the rule.
    """
    try:
        TypeAdapter(PipelineName).validate_python(name)
    except ValidationError as error:
        (first, *_) = error.errors()
        words = PATTERN_WORDS.get(first.get("ctx", {}).get("pattern", ""), first["msg"])
        raise SpecError(f"'{name}' cannot be a pipeline's name: {words}") from error
    if said := names.pipeline_problem(name):
        raise SpecError(said)
    for path in (settings.pipelines_path / name, settings.dags_path / f"{name}.py"):
        if path.exists() or path.is_symlink():
            raise SpecError(f"{path} is there already, and stays as it is. Choose another name, or move it away")


def _zone(options: NewOptions, choices: Choices) -> str:
    decide = "where its days begin: timezone in pipeline.yaml and ZONE in source.py (--timezone Europe/Berlin)"
    guess = Choice("timezone", "UTC", "no file says where its days begin", (), decide)
    zone = choices.settle("In which time zone do its days begin, as Europe/Berlin?", guess, options.timezone)
    if said := zone_problem(zone):
        raise SpecError(f"timezone: {said}")
    return zone


# ---- plan ----


def _planned(name: str, zone: str, samples: Sequence[Sample], looked: Looked) -> Plan:
    sample, others = samples[0], samples[1:]
    roles = roles_of(looked)
    looked.connection.execute("SET VARIABLE label_after = ?", [roles.label_after])
    known = known_of(looked, roles)
    layout = plans.layout_of(sample, roles)
    asked, outcomes, delay, gaps = _days(looked, layout)
    windows = windows_of(sample.name, asked, outcomes, max(delay, 1))
    tables = plans.tables_of(sample, roles, known, layout, gaps)
    references = [(other, _reference_key(other, tables[0])) for other in others]
    clock = layout.time[0].name if roles.rows == "planned" and layout.time else ""
    labelled = _labelled(looked, tables[1], layout.day.sql, windows.gate)
    return Plan(
        name=name,
        sample=sample,
        roles=roles,
        known=known,
        zone=zone,
        tables=(*tables, *(plans.reference_of(other, key) for other, key in references)),
        layout=layout,
        samples=tuple(samples),
        features=features_of(sample, roles, known, clock, windows, references),
        windows=windows,
        labelled=labelled,
        delay=delay,
    )


def _reference_key(sample: Sample, asked: Table) -> str:
    """The column by which the rows of another table belong to those that are predicted."""
    own = {column.name: column.type for column in asked.columns}
    for column in sample.columns:
        if own.get(column.name) == column.type and column.distinct == sample.rows:
            return column.name
    raise SpecError(
        f"{sample.name}: it has other columns than the first sample, and none of them has one row for each value of a column of "
        f"the rows to predict ({', '.join(own)}). Leave it out, and add its table to pipeline.yaml later"
    )


def _days(looked: Looked, layout: plans.Layout) -> tuple[Partitions, Partitions, int, bool]:
    """The days that have rows to predict, those on which outcomes became known, how late, and whether days have none."""
    asked, known = layout.day.sql, f"timezone(getvariable('zone'), {layout.known.sql})::DATE"
    low, high = map(day, looked.one(f"quantile_disc({asked}, 0.01), quantile_disc({asked}, 0.99)"))
    span = max(high - low, timedelta(days=30))
    near = f"{asked} BETWEEN DATE '{low - span}' AND DATE '{high + span}'"
    first, last = map(day, looked.one(f"min({asked}), max({asked})", near))
    if out := looked.count(f"count(*) FILTER (NOT {near})"):  # a slip of the finger must not make decades
        why = f"{out} rows lie outside of them, far from all others, and are left out"
        looked.choices.made.append(
            Choice("days", f"{first} to {last}", why, (), "whether these rows have the right date")
        )
    within = f"{asked} BETWEEN DATE '{first}' AND DATE '{last}'"
    late, days, *ends = looked.one(
        f"quantile_disc({known} - {asked}, 0.99), count(DISTINCT {asked}), min({known}), max({known})", within
    )
    delay = max(0, int(str(late or 0)))
    start, end = max(day(ends[0]), first - timedelta(days=1)), min(day(ends[1]), last + timedelta(days=delay))
    return Partitions(first, last), Partitions(start, max(start, end)), delay, int(str(days)) < (last - first).days + 1


def _labelled(looked: Looked, outcomes: Table, day_sql: str, days: Partitions) -> int:
    return looked.count("count(*)", f"{outcomes.where} AND {day_sql} BETWEEN DATE '{days.start}' AND DATE '{days.end}'")


def _volume(connection: duckdb.DuckDBPyConnection, table: Table) -> tuple[int, int, int, int]:
    """The fewest and the most rows of a day in the sample, and the bounds of a contract."""
    (by,) = (column.sql for column in table.columns if column.name == table.by)
    local = f"timezone(getvariable('zone'), {by})::DATE" if not table.known_ahead else by
    days = f"SELECT count(*) AS n FROM {quoted(f'sample_{table.sample}')} WHERE {table.where} GROUP BY {local}"
    ((least, most),) = connection.sql(f"SELECT min(n), max(n) FROM ({days})").fetchall()
    return least, most, 0 if table.may_be_empty else max(1, least // 2), most * 3


# ---- writing ----


@contextmanager
def _staged(settings: Settings, name: str) -> Iterator[Path]:
    """A folder beside the pipelines whose name no pattern of the project matches. What is left of it goes."""
    settings.pipelines_path.mkdir(parents=True, exist_ok=True)
    with folder_beside(settings.pipelines_path / name) as staged:
        folder = staged / name
        folder.mkdir()
        yield folder


def _appear(folder: Path, dag: Path, name: str, settings: Settings) -> tuple[Path, Path]:
    """Make the folder and the file of DAGs appear. Neither replaces anything: somebody may have been quicker."""
    target, dags = settings.pipelines_path / name, settings.dags_path / f"{name}.py"
    settings.dags_path.mkdir(parents=True, exist_ok=True)
    staged = unfinished_beside(dags)
    staged.write_bytes(dag.read_bytes())
    dag.unlink()
    try:
        folder.rename(target)  # over an empty folder, at most
        try:
            dags.hardlink_to(staged)  # unlike a rename, it never replaces a file
        except OSError:
            shutil.rmtree(target)
            raise
    except OSError as error:
        raise SpecError(f"{error.filename2 or error.filename}: {error.strerror}. Nothing was written") from error
    finally:
        staged.unlink()
    return target, dags
