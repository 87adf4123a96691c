"""The JSON that Contrail prints and keeps in the life of a toy pipeline. Run this module to write the golden files.

After a change that is meant: ``PYTHONPATH=include:plugins python -m tests.integration.json_forms``.
``tests.normal_json`` replaces what differs between two runs. The tests compare all the rest as it is, the order of the
keys too.
"""

import json
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import PROJECT
from tests.integration.json_life import Life, toy_life
from tests.landed import deliver_anew, set_field
from tests.unit.dispatch import priced as receipts
from tests.unit.lake.test_warehouse import fingerprints_of

from contrail.config.settings import settings
from contrail.errors import (
    BudgetError,
    CommitConflictError,
    DataError,
    GateRefusedError,
    PartitionRefusedError,
    SpecError,
)
from contrail.lake.parquet import parquet_files
from contrail.methods.cost import BatchUsage
from contrail.notify import messages
from contrail.notify.delivery import deliver
from contrail.stages.results import parse_result

GOLDEN = PROJECT / "tests" / "golden"
FIRST, TRAINED, LAST = "2024-01-01", "2024-02-09", "2024-03-10"
WINDOW = ("--from", FIRST, "--to", TRAINED, "--set", "nthread=1")
GATE = ("--from", "2024-02-11", "--to", "2024-02-24")
STRETCH = ("--from", "2024-02-25", "--to", LAST)
LATER_GATE = ("--from", "2024-02-25", "--to", "2024-03-09")


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
    return "--commits", how, "--chunk-days", "4"


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
    day = ("-p", "toy", "--on", "2024-02-26", "--json")
    life.command("why", "1", *day, name="why")
    life.command("why", *day, "--sample", "5", name="why-of-a-sample")
    life.command("what-if", "1", "weight=9", "depot=C", *day, name="what-if")
    life.command("what-if", "1", *day, name="what-if-nothing")
    leaks = ("--from", "2024-02-25", "--to", "2024-03-05", "--cutoffs", "1")
    life.command("check-leaks", "-p", "toy", *leaks, "--json", name="check-leaks", code=DataError.exit_code)
    _inspection(life)
    life.command("sbom", "3", "-p", "toy", "--output", str(life.home / "bill.cdx.json"))
    life.file("sbom", "bill.cdx.json")


def _inspection(life: Life) -> None:
    """The training set is in no remote here, and one repeat of each build is enough for the form."""

    def fetch(_: Any, md5: str, path: Path) -> Path:
        kept = life.home / "training_sets" / "toy" / f"{FIRST}_{TRAINED}" / "rows.parquet"
        return Path(shutil.copy(kept, path))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("contrail.adapters.data_versions.fetch", fetch)
        patch.setattr("contrail.operations.inspecting.build_costs.REPEATS", 1)
        days = ("--from", "2024-02-25", "--to", "2024-03-05")
        life.command("inspect-features", "-p", "toy", *days, "--json", name="inspect-features")


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
        return fingerprints_of(dataset, self.tables.get(table or dataset.name, empty), partitions)

    def load(self, dataset: Any, files: Any) -> str:
        self.tables["staging"] = parquet_files(files).to_table()
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
    given = life.results[name]
    result = parse_result(stage or given["stage"], {**given, "details": {**given["details"], **details}})
    return messages.of_result(f"toy {stage or given['stage']}", "toy", result.details, "http://airflow/log")


def forms(place: Path) -> dict[str, str]:
    """The JSON of a toy pipeline's life in an empty folder, by the name of its golden file."""
    with toy_life(place) as life:
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
