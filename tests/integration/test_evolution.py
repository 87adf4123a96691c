"""A feed and its spec change ten times, and nothing that was published is lost: predictions of every age are asked."""

import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conftest import PROJECT, TOY_PIPELINES, Toy
from tests.landed import lines_of, write_lines
from tests.toy_tables import copy_empty_registry, skip_what_only_train_needs

from contrail.cli import app
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.errors import SchemaError, SpecError
from contrail.lake.sql import ask
from contrail.operations.recheck import recheck
from contrail.operations.why import why
from contrail.partitions import Partitions

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("evolution")]

FIRST, TRAINED, READY = date(2024, 1, 1), date(2024, 1, 24), date(2024, 2, 2)
Spec = dict[str, Any]


class Evolving:
    """The toy pipeline in a folder of its own, whose spec and features can be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.day = self.landed = READY
        self.published: dict[date, list[tuple[Any, ...]]] = {}
        self.ages: list[tuple[datetime, int, list[str]]] = []
        self.header: Callable[[str], str] = lambda line: line
        self.field = ""

    @property
    def toy(self) -> Toy:
        return Toy(load_pipeline("toy"), settings())

    def change(self, change: Callable[[Spec], None], features: Callable[[str], str] = lambda text: text) -> None:
        """Change pipeline.yaml and features.py."""
        path, code = self.folder / "pipeline.yaml", self.folder / "features.py"
        spec = yaml.safe_load(path.read_text())
        change(spec)
        path.write_text(yaml.safe_dump(spec, sort_keys=False))
        code.write_text(features(code.read_text()))
        sys.modules.pop("pipelines.toy.features", None)

    def land(self, first: date, last: date) -> None:
        """Land days as the feed is now: with the names that its header has, and the new column."""
        toy = self.toy
        toy.land(str(first), str(last))
        for day in Partitions(first, last):
            for table in ("parcels", "deliveries"):
                header, *lines = lines_of(toy, table, str(day))
                more = self.field if table == "parcels" else ""
                added = [f",{more}", *[f",{str(n % 2 == 0).lower()}" for n in range(len(lines))]] if more else None
                rows = [self.header(header), *lines]
                write_lines(toy, table, str(day), [a + b for a, b in zip(rows, added, strict=True)] if added else rows)

    def a_day(self, ahead: int = 0) -> None:
        """Take the next day through the chain, landed with some days ``ahead``; remember what analysts saw then."""
        self.day += timedelta(days=1)
        if self.day > self.landed:
            self.landed = self.day + timedelta(days=ahead)
            self.land(self.day, self.landed)
            for verb in ("ingest", "validate"):
                self.toy.run(verb, str(self.day), str(self.landed))
        for verb in ("features", "score"):
            self.toy.run(verb, str(self.day))
        self.remember()

    def remember(self) -> None:
        toy = self.toy
        key = toy.spec.key[1]
        rows = toy.sql(f'SELECT partition_date, "{key}", probability, feature_snapshot FROM predictions ORDER BY ALL')
        self.published = {}
        for day, *row in rows:
            self.published.setdefault(day, []).append(tuple(row))
        columns = [name for name, *_ in toy.sql("DESCRIBE predictions")]
        self.ages.append((datetime.now(UTC), len(rows), columns))


@pytest.fixture
def evolving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Evolving]:
    folder = tmp_path / "pipelines" / "toy"
    shutil.copytree(TOY_PIPELINES / "toy", folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("CONTRAIL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CONTRAIL_PROJECT", str(PROJECT))
    monkeypatch.setenv("CONTRAIL_PIPELINES", str(folder.parent))
    settings.cache_clear()
    copy_empty_registry(settings())
    skip_what_only_train_needs(monkeypatch)
    yield Evolving(folder)
    settings.cache_clear()
    for name in [name for name in sys.modules if name.startswith("pipelines.toy")]:
        del sys.modules[name]


def run_commands(message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the commands that stand on lines of their own in a message, and return what they printed."""
    printed = ""
    for command in re.findall(r"^ +(contrail .+)$", message, re.MULTILINE):
        monkeypatch.setattr(sys, "argv", shlex.split(command))
        app.main()
        printed += "".join(capsys.readouterr())
    return printed


def test_ten_changes_of_the_spec_and_predictions_of_every_age(
    evolving: Evolving, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    evolving.change(lambda spec: spec["train"].update(window_days=20, validation_days=4, rounds=10))
    lenient = {"policy": "not_worse", "min_improvement": -1.0, "min_improvement_over_baseline": -1.0, "segments": []}
    evolving.change(lambda spec: spec["gate"].update(window_days=7, **lenient))
    evolving.land(FIRST, READY)
    for verb in ("ingest", "validate", "features"):
        evolving.toy.run(verb, str(FIRST), str(READY))
    evolving.toy.run("train", str(FIRST), str(TRAINED))
    evolving.toy.run("promote", str(TRAINED + timedelta(days=2)), str(TRAINED + timedelta(days=8)))
    evolving.a_day()

    # 1: a column is added to the feed, and a feature made of it.
    evolving.field = "fragile"
    evolving.change(
        lambda spec: (
            spec["tables"]["parcels"]["columns"].update(fragile={"type": "bool", "required": False}),
            spec["features"]["columns"].update(fragile={"doc": "Whether it breaks."}),
        ),
        lambda text: text.replace(
            '"weight",\n', '"weight",\n        F.col("fragile").cast("double").alias("fragile"),\n'
        ),
    )
    evolving.a_day()
    # 2: a required column becomes optional.
    evolving.change(lambda spec: spec["tables"]["deliveries"]["columns"]["delay"].update(required=False))
    evolving.a_day()
    # 3: a column of the feed has another name in the spec; the feed follows a day later.
    evolving.change(
        lambda spec: _rename(spec["tables"]["parcels"]["columns"], "weight", "mass"),
        lambda text: text.replace('        "weight",\n', '        F.col("mass").alias("weight"),\n'),
    )
    expectations = evolving.folder / "expectations.py"
    expectations.write_text(expectations.read_text().replace('column="weight"', 'column="mass"'))
    sys.modules.pop("pipelines.toy.expectations", None)
    evolving.a_day()
    evolving.header = lambda line: line.replace("weight", "mass")
    # 4: a feature has another name.
    evolving.change(
        lambda spec: _rename(spec["features"]["columns"], "weight", "mass"),
        lambda text: text.replace('        F.col("mass").alias("weight"),\n', '        "mass",\n'),
    )
    evolving.a_day()
    assert {row[0] for row in evolving.toy.sql("SELECT DISTINCT reason_1 FROM predictions_latest")} & {"mass"}
    evolving.toy.run("drift", str(evolving.day))
    assert evolving.toy.sql("SELECT value IS NOT NULL FROM drift WHERE feature = 'mass'") == [(True,)]
    # 5: a column leaves the feed, and its feature the model's table.
    evolving.field = ""
    evolving.change(
        lambda spec: (spec["tables"]["parcels"]["columns"].pop("fragile"), spec["features"]["columns"].pop("fragile")),
        lambda text: text.replace('        F.col("fragile").cast("double").alias("fragile"),\n', ""),
    )
    evolving.a_day()
    # 6: it comes back.
    evolving.field = "fragile"
    evolving.change(
        lambda spec: spec["tables"]["parcels"]["columns"].update(fragile={"type": "bool", "required": False})
    )
    evolving.a_day(ahead=2)
    days = evolving.toy.sql("SELECT partition_date, count(fragile) FROM validated_parcels GROUP BY 1 ORDER BY 1")[-9:]
    assert [count for _, count in days] == [0, 60, 60, 60, 60, 0, 60, 60, 60]
    # 7: predictions get more columns.
    evolving.change(lambda spec: spec.update(score={"reasons": 4}))
    evolving.a_day()
    # 8: columns come in another order.
    evolving.change(
        lambda spec: spec["features"].update(columns=dict(reversed(list(spec["features"]["columns"].items()))))
    )
    evolving.a_day()
    # 9: a key column has another name, in the feed and in all that was made of it.
    evolving.change(_rename_key, lambda text: text.replace('"parcel"', '"number"'))
    expectations.write_text(expectations.read_text().replace('"parcel")', '"number")'))
    sys.modules.pop("pipelines.toy.expectations", None)
    evolving.a_day()
    before = dict(evolving.published)
    # 10: a number becomes a category. No table can follow, and no model: the messages say what to do.
    evolving.change(
        lambda spec: spec["features"]["columns"]["distance"].update(kind="category"),
        lambda text: text.replace(
            '        "distance",\n', '        F.col("distance").cast("string").alias("distance"),\n'
        ),
    )
    with pytest.raises(SchemaError, match="distance: float in the table, string in the spec") as refused:
        evolving.a_day()
    printed = run_commands(str(refused.value), capsys, monkeypatch)
    run_commands(printed, capsys, monkeypatch)
    with pytest.raises(SpecError, match=r"distance \(a number at its training, a category now\)") as unfit:
        evolving.toy.run("score", str(evolving.day))
    run_commands(str(unfit.value), capsys, monkeypatch)
    evolving.day -= timedelta(days=1)
    evolving.a_day()

    assert {day: rows for day, rows in evolving.published.items() if day in before} == before
    assert len(evolving.ages) == 11
    for moment, rows, columns in evolving.ages:
        assert asked(evolving.toy, "SELECT count(*) FROM predictions", moment) == [(rows,)]
        assert [name for name, *_ in asked(evolving.toy, "DESCRIBE predictions", moment)] == columns
        assert asked(evolving.toy, "SELECT count(*) FROM predictions_latest", moment) == [(60,)]
    kept = {entry.snapshot for name in evolving.toy.lake.table_names() if name.startswith("features")
            for entry in evolving.toy.lake.history(name)}  # fmt: skip
    receipts = {row[2] for rows in evolving.published.values() for row in rows}
    assert receipts <= kept, "each prediction's features can still be asked"

    # Each is computed again from its own model and snapshot, whatever has changed since, under the key's name of today.
    again = recheck(evolving.toy.lake, evolving.toy.pipeline, 10_000)
    assert (again.rows, again.same, again.others) == (sum(map(len, evolving.published.values())), again.rows, ())
    for day in (READY + timedelta(days=1), evolving.day - timedelta(days=3)):
        found = why(evolving.toy.lake, evolving.toy.pipeline, {"number": 7}, day)
        assert found.same, found.verdict
        own = next(one for one in found.sources if one.table == "parcels").shown[0]
        assert (own.file, own.line) == (f"parcels/{day}.csv.gz", 9), day


def asked(toy: Toy, question: str, moment: datetime) -> list[tuple[Any, ...]]:
    with ask(toy.lake, toy.spec, question, as_of=moment) as answer:
        return list(answer.rows())


def _rename(columns: Spec, old: str, new: str) -> None:
    renamed = {new if name == old else name: column for name, column in columns.items()}
    renamed[new]["renamed_from"] = old
    columns.clear()
    columns.update(renamed)


def _rename_key(spec: Spec) -> None:
    for table in (spec["tables"]["parcels"], spec["tables"]["deliveries"]):
        _rename(table["columns"], "parcel", "number")
        table["key"] = ["ship_date", "number"]
    spec["key"] = ["ship_date", "number"]
