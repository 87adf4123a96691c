"""A pipeline is made of a stranger's file: the right roles, nothing over anything, and all of it or nothing."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docs.check_prose import findings
from tests import strangers
from tests.conftest import PROJECT

from contrail.config.readme import read_sections
from contrail.config.settings import settings
from contrail.config.spec import PipelineSpec, load_spec
from contrail.errors import ContrailError, DataError, SpecError
from contrail.operations.check import check_pipeline
from contrail.operations.new import Made, new_pipeline
from contrail.operations.scaffold.choices import Ask, NewOptions

New = Callable[..., Made]


@pytest.fixture
def folders(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project without pipelines, and a folder of the stranger's."""
    monkeypatch.setenv("CONTRAIL_PIPELINES", str(tmp_path / "pipelines"))
    monkeypatch.setenv("CONTRAIL_DAGS", str(tmp_path / "dags"))
    settings.cache_clear()
    (tmp_path / "theirs").mkdir()
    yield tmp_path
    settings.cache_clear()


@pytest.fixture
def new(folders: Path) -> New:
    def made(*samples: Path, name: str = "own", ask: Ask | None = None, **options: object) -> Made:
        return new_pipeline(name, [str(path) for path in samples], NewOptions.model_validate(options), settings(), ask)

    return made


def spec_of(made: Made) -> PipelineSpec:
    return load_spec(made.folder / "pipeline.yaml")


def taken(made: Made) -> dict[str, str]:
    return {choice.what: choice.taken for choice in made.choices}


def open_ones(made: Made) -> str:
    return " / ".join(choice.decide for choice in made.choices if choice.decide)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- what is taken for what ----


def test_sales_by_shop_and_day_are_planned(new: New, folders: Path) -> None:
    made = new(strangers.sales(folders / "theirs"))
    spec = spec_of(made)
    assert (spec.task, spec.gate.metric, spec.key) == ("regression", "rmse", ("date", "store"))
    assert set(spec.tables["asked"].columns) == {"date", "store", "announced_at"}, "promo may be known only later"
    assert {"promo", "customers", "sales"} <= set(spec.tables["outcomes"].columns)
    assert "store_sales_28d" in spec.features.columns
    assert "which of promo, customers are known before the day begins (--known-ahead)" in open_ones(made)


def test_a_person_says_what_is_known_ahead(new: New, folders: Path) -> None:
    made = new(strangers.sales(folders / "theirs"), known_ahead=["promo"], timezone="Europe/Berlin", label_after=2)
    spec = spec_of(made)
    assert "promo" in spec.tables["asked"].columns
    assert "promo" in spec.features.columns
    assert spec.timezone == "Europe/Berlin"
    assert spec.label.mature_after_days == 2 == spec.train.embargo_days
    assert open_ones(made) == ""


def test_tickets_are_events_whose_outcome_is_known_when_they_close(new: New, folders: Path) -> None:
    made = new(strangers.tickets(folders / "theirs"))
    spec = spec_of(made)
    assert (spec.task, spec.key, spec.label.expression) == ("binary", ("ticket_id",), "churned = 'yes'")
    assert spec.tables["asked"].known_at == "opened_at"
    assert spec.tables["outcomes"].known_at == "closed_at"
    assert spec.label.mature_after_days == 4 == spec.train.embargo_days, "outcomes come within five days of the event"
    assert spec.tables["asked"].columns["email"].personal
    assert "email" not in spec.features.columns
    assert {"plan_churned_7d", "customer_rows_7d"} <= set(spec.features.columns)
    assert "whether churned is known for sure at closed_at" in open_ones(made)


def test_without_a_second_time_a_person_must_say_when_the_outcome_is_known(new: New, folders: Path) -> None:
    made = new(strangers.tickets(folders / "theirs", closed=False))
    assert "when churned is really known: LABEL_AFTER in source.py (--label-after)" in open_ones(made)
    assert "LABEL_AFTER = 1\n" in (made.folder / "source.py").read_text()


def test_a_column_that_tells_the_outcome_is_not_known_ahead(new: New, folders: Path) -> None:
    path = strangers.tickets(folders / "theirs")
    lines = path.read_text().splitlines()
    leaks = ["refund", *("5" if ",yes," in line else "0" for line in lines[1:])]
    path.write_text("\n".join(f"{line},{leak}" for line, leak in zip(lines, leaks, strict=True)))
    made = new(path)
    assert "refund" not in spec_of(made).features.columns
    assert "whether refund is known at the event (--known-ahead)" in open_ones(made)


def test_a_messy_spreadsheet_has_names_that_contrail_can_use(new: New, folders: Path) -> None:
    made = new(strangers.umsatz(folders / "theirs"))
    spec = spec_of(made)
    assert spec.key == ("datum", "filial_nr")
    assert spec.label.expression == "umsatz"
    assert {"order", "select", "column_2nd_value"} <= set(spec.tables["outcomes"].columns)
    assert spec.tables["asked"].columns["filial_nr"].type == "string", "001 is a name"


@pytest.mark.parametrize(
    ("encoding", "landed"),
    [
        ("utf-8-sig", {"delimiter": ";", "decimal": ","}),
        ("cp1252", {"delimiter": ";", "decimal": ",", "encoding": "cp1252"}),
    ],
)
def test_the_dialect_is_told_as_the_spec_would_have_it(
    new: New, folders: Path, encoding: str, landed: dict[str, str]
) -> None:
    path = new(strangers.umsatz(folders / "theirs", encoding=encoding)).folder / "pipeline.yaml"
    path.write_text(path.read_text().replace("    # landed:", "    landed:"))
    found = load_spec(path).tables["outcomes"].landed
    assert {name: getattr(found, name) for name in found.model_fields_set} == landed


def test_hours_of_a_clock_are_a_date_and_an_hour(new: New, folders: Path) -> None:
    spec = spec_of(new(strangers.power(folders / "theirs"), timezone="Europe/Berlin"))
    assert spec.key == ("ts_date", "hour")
    assert {"hour", "hour_y_7d", "weekly_y_14d"} <= set(spec.features.columns)


def test_a_date_beside_a_time_is_no_second_time(new: New, folders: Path) -> None:
    rows = ((day, f"{day} {hour:02d}:00", hour * 1.5) for day in strangers.days(99) for hour in range(24))
    made = new(strangers.write(folders / "theirs" / "hours.csv", ("date", "ts", "y"), rows))
    assert taken(made)["time"] == "ts", "it says more than the date"
    assert "known at" not in taken(made), "the date of a row says nothing of its outcome"
    assert taken(made)["left out"] == "date"


def test_a_second_table_is_joined_by_the_column_that_both_have(new: New, folders: Path) -> None:
    made = new(strangers.stores(folders / "theirs"), strangers.sales(folders / "theirs"))
    spec = spec_of(made)
    assert (spec.tables["stores"].kind, spec.tables["stores"].key) == ("reference", ("store",))
    assert {"area", "region"} <= set(spec.features.columns)
    assert check_pipeline("own").problems == ()


def test_files_of_one_header_are_one_table(new: New, folders: Path) -> None:
    path = strangers.sales(folders / "theirs")
    header, *lines = path.read_text().splitlines(keepends=True)
    parts = [folders / "theirs" / f"sales_{n}.csv" for n in (1, 2)]
    for part, own in zip(parts, (lines[:200], lines[200:]), strict=True):
        part.write_text(header + "".join(own))
    made = new(*parts)
    assert (made.rows, set(spec_of(made).tables)) == (len(lines), {"asked", "outcomes"})


def test_the_task_may_be_named(new: New, folders: Path) -> None:
    made = new(strangers.sales(folders / "theirs"), label="promo", task="regression")
    assert spec_of(made).task == "regression"
    with pytest.raises(
        SpecError, match=r"--task binary: sales has .* values; a binary label is 0 or 1, or one of two texts"
    ):
        new(strangers.sales(folders / "theirs"), name="other", task="binary")


def test_the_gate_needs_no_more_rows_than_the_sample_has(new: New, folders: Path) -> None:
    made = new(strangers.sales(folders / "theirs"))
    text = (made.folder / "pipeline.yaml").read_text()
    assert made.min_rows == spec_of(made).gate.min_rows == 27
    assert "# Half of the 54 labelled rows of these days in the sample, and 1,000 at most.\n  min_rows: 27" in text


def test_few_positive_labels_are_told(new: New, folders: Path) -> None:
    assert "a longer sample is worth waiting for" in open_ones(new(strangers.tickets(folders / "theirs", rare=True)))


def test_slips_of_the_finger_make_no_decades(new: New, folders: Path) -> None:
    path = strangers.sales(folders / "theirs")
    path.write_text(path.read_text() + "1923-01-01,Nord,0,1,5.0\n")
    made = new(path)
    assert str(spec_of(made).first_partition) == "2023-01-01"
    assert spec_of(made).key == ("date", "store")
    assert "1 rows lie outside" in " ".join(choice.why for choice in made.choices)


# ---- what is refused ----


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (strangers.people, r"no column has dates or times.* Columns: age \(int\), plan \(string\), churned \(int\)"),
        (strangers.constant, "the label churned has the value 0 in all 150 rows, so there is nothing to learn"),
        (
            lambda folder: strangers.sales(folder, 20),
            "20 days, 2023-01-01..2023-01-20, are too few; .* or more are needed",
        ),
        (lambda folder: folder / "gone.csv", "there is no such file"),
        (
            lambda folder: strangers.write(
                folder / "a.csv", ("day", "who"), [(day, f"w{day}") for day in strangers.days(99)]
            ),
            "no column can be the label",
        ),
    ],
)
def test_a_sample_that_makes_no_pipeline_leaves_nothing(
    new: New, folders: Path, make: Callable[[Path], Path], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        new(make(folders / "theirs"))
    assert files(folders / "pipelines") == {}
    assert not (folders / "dags").exists()


def test_two_files_of_one_name_are_refused(new: New, folders: Path) -> None:
    (folders / "theirs" / "again").mkdir()
    with pytest.raises(DataError, match="another sample has this file name"):
        new(strangers.sales(folders / "theirs"), strangers.sales(folders / "theirs" / "again"))


@pytest.mark.parametrize("name", ["Sales", "2nd", "a b", "../up", "landing", "contrail_own", "x" * 41, "a__b", ""])
def test_a_name_that_no_pipeline_may_have_is_refused(new: New, folders: Path, name: str) -> None:
    with pytest.raises(SpecError):
        new(strangers.sales(folders / "theirs"), name=name)
    assert not (folders / "pipelines").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"label": "sale"}, "--label sale: the sample sales has no such column; did you mean 'sales'?"),
        ({"key": ["shop"]}, "--key shop"),
        ({"key": ["date"]}, "--key date: several rows share it; name more columns"),
        ({"known_at": "date"}, "--known-at date: it is no date or time later than date"),
        ({"timezone": "Berlin"}, "timezone: .*Berlin"),
        ({"time": "store"}, "time: there is no 'store'"),
    ],
)
def test_an_option_that_does_not_fit_is_named(new: New, folders: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        new(strangers.sales(folders / "theirs"), **options)
    assert files(folders / "pipelines") == {}


@pytest.mark.parametrize("there", ["pipelines/own/mine.txt", "dags/own.py"])
def test_nothing_is_written_over_what_is_there(new: New, folders: Path, there: str) -> None:
    (folders / there).parent.mkdir(parents=True)
    (folders / there).write_text("mine")
    with pytest.raises(SpecError, match="is there already, and stays as it is"):
        new(strangers.sales(folders / "theirs"))
    assert {**files(folders / "pipelines"), **files(folders / "dags")} == {there.split("/", 1)[1]: b"mine"}


@pytest.mark.parametrize("there", ["pipelines/own/mine.txt", "dags/own.py"])
def test_who_comes_first_meanwhile_keeps_what_is_theirs(
    new: New, folders: Path, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contrail.operations import new as module

    def quicker(path: Path) -> PipelineSpec:
        (folders / there).parent.mkdir(parents=True, exist_ok=True)
        (folders / there).write_text("mine")
        return load_spec(path)

    monkeypatch.setattr(module, "load_spec", quicker)
    with pytest.raises(SpecError, match="Nothing was written"):
        new(strangers.sales(folders / "theirs"))
    found = {f"{root}/{name}" for root in ("pipelines", "dags") for name in files(folders / root)}
    assert found == {there}
    assert (folders / there).read_text() == "mine"


def test_a_failure_on_the_way_leaves_nothing(new: New, folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from contrail.operations import new as module

    def full(*_: object) -> dict[str, str]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "files_of", full)
    with pytest.raises(OSError, match="No space"):
        new(strangers.sales(folders / "theirs"))
    assert files(folders / "pipelines") == {}


# ---- questions ----


def test_a_person_is_asked_with_a_guess_and_its_reason(new: New, folders: Path) -> None:
    asked: dict[str, str] = {}

    def answer(question: str, guess: str, answers: object) -> str:
        asked[question] = guess
        return {"UTC": "Europe/Berlin", "sales": "customers"}.get(guess, guess)

    spec = spec_of(new(strangers.sales(folders / "theirs"), ask=answer))
    assert (spec.timezone, spec.label.expression) == ("Europe/Berlin", "customers")
    assert asked["Which column is the outcome to predict? (its name is that of an outcome)"] == "sales"
    assert len(asked) <= 5


def test_a_decision_that_a_person_made_is_open_no_more(new: New, folders: Path) -> None:
    made = new(strangers.sales(folders / "theirs"), ask=lambda question, guess, answers: guess)
    assert open_ones(made) == "which of promo, customers are known before the day begins (--known-ahead)"


# ---- what is written ----

SHAPES = [strangers.sales, strangers.tickets, strangers.umsatz, strangers.power, strangers.odd]


@pytest.mark.parametrize("make", SHAPES, ids=lambda make: make.__name__)
def test_what_is_written_passes_every_check(new: New, folders: Path, make: Callable[[Path], Path]) -> None:
    made = new(make(folders / "theirs"))
    assert check_pipeline("own").problems == ()
    # As in the project: its settings for pipelines, and what is the project's own among imports.
    ruff = [sys.executable, "-m", "ruff"]
    own = ["--config", str(PROJECT / "pyproject.toml"), "--config", 'lint.isort.known-first-party = ["contrail"]']
    for command in (["check", "--ignore", "S101"], ["format", "--check"]):
        done = subprocess.run(
            [*ruff, *command, *own, made.folder, made.dags], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


def test_readme_has_the_headings_that_a_card_quotes_and_plain_sentences(new: New, folders: Path) -> None:
    made = new(strangers.tickets(folders / "theirs"))
    text = (made.folder / "README.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("## ")][:2] == ["## Intended use", "## Limits"]
    quoted = read_sections(made.folder)
    assert quoted.missing == ("Intended use",), "nobody has said yet what it is for"
    assert "Write" not in quoted.limits, "what is asked of a person is no limit of the model"
    (made.folder / "README.md").write_text(text.replace("## Intended use\n", "## Intended use\n\nFor the desk.\n"))
    assert read_sections(made.folder).intended_use == "For the desk."
    assert findings("README.md", text) == []


def test_git_ignores_the_strangers_rows(new: New, folders: Path) -> None:
    made = new(strangers.sales(folders / "theirs"))
    run = ["git", "-C", str(folders)]
    subprocess.run([*run, "init", "-q"], check=True)
    found = subprocess.run([*run, "status", "--porcelain", "-uall"], capture_output=True, text=True, check=True).stdout
    assert "pipelines/own/sample/.gitignore" in found
    assert "sample/sales.csv" not in found
    assert (made.folder / "sample" / "sales.csv").exists()


def test_no_file_names_this_machine(new: New, folders: Path) -> None:
    made = new(strangers.sales(folders / "theirs"))
    assert [path for path, content in files(made.folder).items() if str(folders).encode() in content] == []


def test_an_error_says_what_to_do_next(new: New, folders: Path) -> None:
    with pytest.raises(ContrailError, match="contrail new NAME --sample FILE"):
        new()
