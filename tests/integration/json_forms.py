"""The JSON that Contrail prints and keeps in the life of a toy pipeline; this module, run, writes the golden files.

After a change that is meant: ``PYTHONPATH=include:plugins python -m tests.integration.json_forms``. What cannot be the
same in two runs is replaced by ``Normal``; all the rest, the order of the keys too, is compared as it is.
"""

import io
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.conftest import PROJECT, TOY_PIPELINES
from tests.landed import deliver_anew, set_field
from tests.toy_tables import copy_empty_registry, skip_what_only_train_needs
from tests.unit.dispatch import priced as receipts

from contrail.cli import app as cli
from contrail.config.settings import settings
from contrail.errors import (
    BudgetError,
    CommitConflictError,
    DataError,
    GateRefusedError,
    PartitionRefusedError,
    SpecError,
)
from contrail.lake.warehouse import fingerprints
from contrail.methods.cost import BatchUsage
from contrail.notify import messages
from contrail.notify.delivery import deliver

GOLDEN = PROJECT / "tests" / "golden"
FIRST, TRAINED, LAST = "2024-01-01", "2024-02-09", "2024-03-10"
WINDOW = ("--from", FIRST, "--to", TRAINED, "--set", "nthread=1")
GATE = ("--from", "2024-02-11", "--to", "2024-02-24")
STRETCH = ("--from", "2024-02-25", "--to", LAST)
LATER_GATE = ("--from", "2024-02-25", "--to", "2024-03-09")
# Shadow, rescoring and drift give results that are empty without them.
_SPEC = {
    "gate:\n": "gate:\n  shadow: true\n  min_shadow_days: 3\n",
    "retrain:\n": "score: {late_data: rescore}\nretrain:\n",
}
_ENVIRONMENTS = {
    "golden": {"extends": "dev"},
    "analysts": {
        "extends": "golden",
        "analysts": {"kind": "bigquery", "project": "p", "dataset": "d", "views_dataset": "v", "location": "EU"},
    },
}


# ---- what cannot be the same in two runs ----


@dataclass
class Normal:
    """The JSON of one golden file with placeholders; ``<what: type>`` stands for a value, ``<what>`` for a part of a text.

    Numbers that name a snapshot keep their identity: the first in a file is ``<snapshot 1>`` wherever it is. Where the
    seconds are ``invented`` they are compared too.
    """

    place: Path
    started: datetime
    invented: bool = False
    snapshots: dict[str, int] = field(default_factory=dict)

    MEASURED = ("seconds", "predict_seconds", "estimated_seconds", "estimated_minutes")
    # The labels are of the folder of the jobs.
    OTHERS = ("xgboost_version", "contrail_run", "contrail_task")
    TEXTS = (
        (re.compile(r"\b\d{8}T\d{6}-[0-9a-f]{6}\b"), "<run>"),
        (re.compile(r"\b[0-9a-f]{64}\b"), "<sha256>"),
        (re.compile(r"\b[0-9a-f]{32}\b"), "<32 hex digits>"),
        (re.compile(r"\bin [\d,]+\.\d s\b"), "in <seconds> s"),
    )
    TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?P<fraction>\.\d+)?(?P<zone>Z|\+00:00|)")
    # Iceberg draws them from 63 bits.
    SNAPSHOT = re.compile(r"(?<![\d.])\d{13,19}(?!\d)")

    def of(self, value: Any, key: str = "") -> Any:
        """A JSON value with placeholders; ``key`` is the one that it has in its object."""
        if isinstance(value, dict):
            return {self._text(name): self.of(one, name) for name, one in value.items()}
        if isinstance(value, list):
            return [self.of(one, key) for one in value]
        if value is None or isinstance(value, bool):
            return value
        if key in self.OTHERS or (key in self.MEASURED and not self.invented):
            return f"<{key}: {type(value).__name__}>"
        if key == "committed_at":  # in milliseconds, of which a thousandth has no fraction
            return self._text(re.sub(r"\.\d+", "", value))
        if isinstance(value, float):
            return float(f"{round(value, 9):.6g}") + 0.0  # not -0.0; other machines differ in the last digits
        if isinstance(value, int):
            return f"{self._snapshot(str(value))[:-1]}: int>" if self.SNAPSHOT.fullmatch(str(value)) else value
        return self._text(value)

    def _text(self, text: str) -> str:
        text = text.replace(str(self.place), "<place>")
        for pattern, placeholder in self.TEXTS:
            text = pattern.sub(placeholder, text)
        text = self.TIME.sub(self._time, text)
        return self.SNAPSHOT.sub(lambda found: self._snapshot(found[0]), text)

    def _time(self, found: re.Match[str]) -> str:
        """A time since the start as its form: whether it has a fraction, and how its zone is written."""
        moment = datetime.fromisoformat(found[0])
        if moment.replace(tzinfo=UTC) < self.started.replace(microsecond=0):
            return found[0]
        return f"<time{'.fraction' if found['fraction'] else ''}{found['zone']}>"

    def _snapshot(self, number: str) -> str:
        return f"<snapshot {self.snapshots.setdefault(number, len(self.snapshots) + 1)}>"


# ---- a home, and how commands are given ----


@dataclass
class Life:
    """A home with the toy pipeline in it, and the JSON that was found there, by the name of its golden file."""

    place: Path
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    forms: dict[str, str] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.place / "home"

    @property
    def toy(self) -> Any:
        """What ``tests.landed`` needs to know."""
        return SimpleNamespace(landing=self.home / "landing" / "toy")

    def stage(self, verb: str, *arguments: str, name: str = "", code: int = 0) -> None:
        """Run a stage and keep what it prints. The only place that knows how the command of a stage is spelled."""
        self.command(verb, "-p", "toy", *arguments, "--json", name=name or verb, code=code)

    def command(self, *arguments: str, name: str = "", code: int = 0, invented: bool = False) -> None:
        """Run a command in this process; what it prints is kept under a name, as one line of JSON."""
        printed, said = io.StringIO(), io.StringIO()
        found: Any = 0
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed), redirect_stderr(said):
            patch.setattr(sys, "argv", ["contrail", *arguments])
            try:
                cli.main()
            except SystemExit as exit_:
                found = exit_.code or 0
        assert found == code, f"{arguments} ended with {found}:\n{said.getvalue()}"
        if name and not code:
            (line,) = printed.getvalue().splitlines()
            assert line == json.dumps(json.loads(line)), f"{arguments}: the layout of the JSON has changed"
            self.keep(name, json.loads(line), invented=invented)

    def file(self, name: str, pattern: str, indent: int | None = 1, *, invented: bool = False) -> None:
        """Keep the only file of the home that has this pattern; it is written with this indent."""
        (path,) = self.home.glob(pattern)
        text = path.read_text(encoding="utf-8")
        assert text.rstrip("\n") == json.dumps(json.loads(text), indent=indent), f"{path}: its layout has changed"
        self.keep(name, json.loads(text), invented=invented)

    def keep(self, name: str, value: Any, *, invented: bool = False) -> None:
        """Keep a JSON value; ``invented`` as in ``Normal``."""
        assert name not in self.forms, name
        self.results[name] = value
        shown = Normal(self.place, self.started, invented).of(value)
        self.forms[name] = json.dumps(shown, indent=1, ensure_ascii=False) + "\n"


@contextmanager
def _life(place: Path) -> Iterator[Life]:
    """A project folder with environments and the pipeline's copy, so that nothing of Contrail must be replaced for them."""
    project, pipelines = place / "project", place / "pipelines"
    shutil.copytree(PROJECT / "include" / "environments", project / "include" / "environments")
    shutil.copytree(TOY_PIPELINES / "toy", pipelines / "toy")
    shutil.copy(PROJECT / "requirements.txt", project)
    (project / "REVISION").write_text("0" * 40)
    (project / "prices.yaml").write_text(receipts.PRICES)
    dispatch = {
        "jobs_uri": f"file://{place}/home/jobs",
        "stages": {"train": "gpu", "features": "gpu"},
        "targets": {"gpu": receipts.GPU},
        "prices": str(project / "prices.yaml"),
        "monthly_budget": 10,
    }
    for name, values in _ENVIRONMENTS.items():
        content = values | ({"dispatch": dispatch} if name == "golden" else {})
        (project / "include" / "environments" / f"{name}.yaml").write_text(json.dumps(content))
    spec = pipelines / "toy" / "pipeline.yaml"
    for old, new in _SPEC.items():
        assert old in spec.read_text()
        spec.write_text(spec.read_text().replace(old, new))
    variables = {
        "CONTRAIL_HOME": place / "home", "CONTRAIL_PROJECT": project, "CONTRAIL_PIPELINES": pipelines,
        "CONTRAIL_ENV": "golden", "USER": "ann", "LOGNAME": "ann",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in variables.items():
            patch.setenv(variable, str(value))
        settings.cache_clear()
        copy_empty_registry(settings())
        skip_what_only_train_needs(patch)
        yield Life(place)
    settings.cache_clear()


# ---- the life ----


def _first_version(life: Life) -> None:
    life.command("land", "-p", "toy", "--from", FIRST, "--to", LAST)
    set_field(life.toy, "parcels", "2024-01-03", 2, "weight", "-5")
    whole = ("--from", FIRST, "--to", LAST)
    for verb in ("ingest", "validate", "features"):
        life.stage(verb, *whole)
    life.stage("ingest", *whole, name="ingest-unchanged")
    life.stage("train", *WINDOW, "--set", "rounds=6", "--metrics", str(life.home / "metrics.json"))
    life.file("train-metrics", "metrics.json")
    life.file("train-artifact-metrics", "mlflow/artifacts/toy/*/artifacts/metrics.json")
    life.file("model-card", "mlflow/artifacts/toy/models/*/artifacts/model.json")
    life.file("model-reference", "mlflow/artifacts/toy/models/*/artifacts/reference.json", indent=None)
    life.stage("promote", *GATE, "--approval", "awaited", name="promote-waits")
    life.file("decision-waits", "reports/toy/decisions/*.json")
    life.stage("promote", *GATE, "--approval", "none", name="promote-pass")
    life.file("decision-pass", "reports/toy/decisions/*.json")


def _second_version(life: Life) -> None:
    """It fails against the champion alone, is scored in shadow, and is judged again with what was seen there."""
    life.stage("train", *WINDOW, "--set", "rounds=5", name="train-again")
    life.stage("promote", *GATE, "--approval", "none", code=GateRefusedError.exit_code)
    life.file("decision-refused", "reports/toy/decisions/v2_*.json")
    for verb in ("score", "drift", "performance"):
        life.stage(verb, *STRETCH)
    life.stage("performance", *STRETCH, "--only-stale", name="performance-unchanged")
    life.command("promote", "-p", "toy", "--model", "2", *LATER_GATE, code=GateRefusedError.exit_code)
    life.file("decision-after-shadow", "reports/toy/decisions/v2_2024-02-25_*.json")


def _third_version(life: Life) -> None:
    """It takes the place of the first, has a part of the days scored, and is taken back."""
    life.stage("train", *WINDOW, "--no-register", name="train-unregistered")
    life.stage("train", *WINDOW, name="train-third")
    person = ("--reason", "new depot", "--json")
    life.command("promote", "-p", "toy", "--model", "3", *GATE, *person, name="promote-by-a-person")
    life.file("decision-by-a-person", "reports/toy/decisions/v3_*.json")


def _backfills(life: Life) -> None:
    asked = ("backfill", "-p", "toy", "--json")
    first, second = ("--from", "2024-02-25", "--to", "2024-03-01"), ("--from", "2024-03-02", "--to", "2024-03-07")
    life.command(*asked, *first, "--dry-run", name="backfill-dry-run")
    # Days that nobody has scored, rows that are not known yet, stages without a table, a target that costs something.
    everything = ("--stages", "ingest,validate,features,score,drift,performance", *_commits("partition"))
    life.command(*asked, "--from", "2024-02-20", *first[2:], *everything, "--dry-run", name="backfill-of-all-stages")
    life.command(*asked, *first, "--stages", "score", "--id", "b1", "--no-report", name="backfill")
    life.file("backfill-record-running", "reports/toy/backfills/b1.json")
    life.command("difference", "-p", "toy", "--id", "b1", "--json", name="difference")
    life.file("backfill-record-done", "reports/toy/backfills/b1.json")
    life.command(*asked, *second, *_commits("chunk"), "--id", "b2", name="backfill-in-chunks")
    life.file("backfill-record-of-two-tables", "reports/toy/backfills/b2.json")
    life.command(*asked, *first, name="backfill-nothing-to-do")


def _commits(how: str) -> tuple[str, ...]:
    """The only place that knows how a backfill is asked for more commits than one."""
    return "--publish", how, "--chunk-days", "4"


def _late(life: Life) -> None:
    life.command("late", "-p", "toy", "--on", LAST, "--json", name="late-none")
    deliver_anew(life.toy, "2024-02-29")
    deliver_anew(life.toy, "2024-01-20")
    life.command("late", "-p", "toy", "--on", LAST, "--json", name="late")
    life.stage("ingest", "--from", "2024-01-20", name="ingest-replaced")
    columns = "published, partition_date, cause, rows_changed, rows, largest_shift, decisions_flipped, backfill"
    sql = f"SELECT {columns} FROM corrections ORDER BY ALL"
    life.command("query", sql, "-p", "toy", "--format", "json", name="query")


def _governor(life: Life) -> None:
    asked = ("govern", "-p", "toy", "--on", LAST)
    life.command(*asked, "--json", name="govern-hold")
    life.command(*asked, "--reason", "new depot", "--json", name="govern-refused")
    life.command(*asked, "--reason", "new depot", "--insist", "--json", name="govern-retrain")
    life.command(*asked, "--reason", "new depot", "--insist", "--json", name="govern-retrain-again")


def _questions(life: Life) -> None:
    life.command("status", "-p", "toy", "--from", "2024-02-24", "--to", LAST, "--json", name="status")
    life.command("champions", "-p", "toy", "--json", name="champions")
    life.command("champions", "-p", "toy", "--on", "2024-02-26", "--json", name="champion-of-a-day")
    life.command("history", "predictions", "-p", "toy", "--json", name="history")
    life.command("summary", "-p", "toy", "--json", name="summary")


def _rollback(life: Life) -> None:
    asked = ("rollback-model", "-p", "toy", "--to", "1", "--reason", "wrong feed", "--json")
    life.command(*asked, "--dry-run", name="rollback-model-dry-run")
    life.command(*asked, name="rollback-model")


def _costs(life: Life) -> None:
    """A job that is over, one that runs, one that the service says nothing of, and one that was refused."""
    month, hour = datetime(2024, 11, 21, 6, tzinfo=UTC), timedelta(hours=1)
    current = settings()
    trained = receipts.reserve(current, receipts.job("first"), month)
    receipts.end(current, trained, 10)
    built = receipts.reserve(current, receipts.job("second", stage="features"), month + hour)
    books = receipts.receipts_of(current)
    used = BatchUsage(tier="premium", dcu_seconds=7200, shuffle_gb_seconds=3600)
    books.write(built.closed("failed", used, 1830.5, books.prices))
    unknown = receipts.reserve(current, receipts.job("third", days="2024-01-05..2024-01-07"), month + 2 * hour)
    books.write(unknown.closed("cancelled", None, None, books.prices))
    with pytest.raises(BudgetError):
        receipts.reserve(current, receipts.job("fourth"), month + 3 * hour)
    for name, receipt in (("ended", trained), ("of-a-batch", built), ("without-usage", unknown)):
        life.file(f"receipt-{name}", f"jobs/costs/toy/2024-11/{receipt.job}.json", invented=True)
    life.command("cost", "-p", "toy", "--month", "2024-11", "--json", name="cost", invented=True)
    life.command("cost", "-p", "toy", "--assume", "train=2x30", "--json", name="cost-assumed", invented=True)


class _Warehouse:
    """What the stage asks of the analysts' warehouse, for one range."""

    def __init__(self, *_: Any) -> None: ...
    def ensure(self, dataset: Any) -> None: ...
    def ensure_view(self, view: Any) -> None: ...

    tables: dict[str, Any]
    records: dict[str, Any]

    def publications(self, table: str, _: Any) -> dict[Any, Any]:
        return self.records.get(table, {})

    def fingerprints(self, dataset: Any, partitions: Any, table: str = "") -> Any:
        empty = dataset.arrow_schema().empty_table()
        return fingerprints(dataset, self.tables.get(table or dataset.name, empty), partitions)

    def load(self, dataset: Any, rows: Any) -> str:
        self.tables["staging"] = rows
        return "staging"

    def replace(self, wanted: Any, work: str) -> None:
        self.tables[wanted.dataset.name] = self.tables[wanted.staging]
        self.records[wanted.dataset.name] = wanted.by(work).publications

    def drop(self, staging: str) -> None:
        del self.tables[staging]


def _publication(life: Life) -> None:
    empty = type("Warehouse", (_Warehouse,), {"tables": {}, "records": {}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTRAIL_ENV", "analysts")
        patch.setattr("contrail.stages.publish.Warehouse", empty)
        settings.cache_clear()
        for name in ("publish", "publish-unchanged"):
            life.command("publish", "-p", "toy", *STRETCH, "--json", name=name)
    settings.cache_clear()


def _notifications(life: Life) -> None:
    """Those that people's commands have left, then those that DAGs deliver, each kind once."""
    where, link, limit = "toy train 2024-02-25", "http://airflow/log", timedelta(hours=1)
    codes = (GateRefusedError, BudgetError, DataError, PartitionRefusedError, SpecError, CommitConflictError)
    told: list[messages.Message | None] = [
        *(messages.of_failure(where, error.exit_code, "what it said", link) for error in codes),
        messages.of_failure(where, -9, ""),
        messages.of_overtime(where, limit, link),
        messages.of_overtime(where, None),
        messages.of_no_training(where, "what it said", "toy__train", link),
        messages.of_deadline(where, 120),
        messages.of_timeout(where, limit, link),
        _of_result(life, "drift", drift_begins=["2024-03-01"], label_drift_begins=["2024-03-02", "2024-03-05"]),
        _of_result(life, "ingest-replaced"),
        _of_result(life, "late", stage="late"),
        _of_result(life, "promote-pass"),
    ]
    for message in told:
        assert message
        deliver(message)
    lines = (life.home / "notifications.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines == [json.dumps(json.loads(line), ensure_ascii=False) for line in lines]
    life.keep("notifications", [json.loads(line) for line in lines])


def _of_result(life: Life, name: str, stage: str = "", **details: Any) -> messages.Message | None:
    """What people are told of a result that was printed, with some details changed."""
    result = life.results[name]
    verb = stage or result["stage"]
    return messages.of_result(f"toy {verb}", verb, "toy", {**result["details"], **details}, "http://airflow/log")


def forms(place: Path) -> dict[str, str]:
    """The JSON of a toy pipeline's life in an empty folder, by the name of its golden file."""
    with _life(place) as life:
        for chapter in (
            _first_version, _second_version, _governor, _third_version, _backfills, _late, _questions, _rollback,
            _costs, _publication, _notifications,
        ):  # fmt: skip
            chapter(life)
    return life.forms


def main() -> None:
    """Write the golden files anew."""
    with tempfile.TemporaryDirectory(prefix="contrail-json-forms-") as place:
        found = forms(Path(place))
    GOLDEN.mkdir(exist_ok=True)
    for path in GOLDEN.glob("*.json"):
        path.unlink()
    for name, text in found.items():
        (GOLDEN / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
