"""A pipeline is checked without its data, and everything that is wrong is said at once."""

import functools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import TOY_PIPELINES
from tests.unit.dispatch.priced import GPU, PRICES, made

from contrail.config.settings import Settings, settings
from contrail.errors import SpecError
from contrail.operations import check
from contrail.operations.check import check_pipeline

Change = Callable[[str, str, str], None]


@pytest.fixture
def folder(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the toy pipeline, which a test may break."""
    copy = tmp_path / "pipelines" / "toy"
    shutil.copytree(TOY_PIPELINES / "toy", copy)
    monkeypatch.setenv("CONTRAIL_PIPELINES", str(copy.parent))
    settings.cache_clear()
    return copy


def change(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))


def problems(thorough: bool = False) -> list[str]:
    return list(check_pipeline("toy", thorough=thorough).problems)


def test_the_toy_is_right(folder: Path) -> None:
    assert problems(thorough=True) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("features.py", ", window: FeatureWindow)", ")", "build(tables, window)"),
        ("features.py", "import FeatureWindow", "import FeaturWindow", "features.py, line 6: ImportError: cannot import name"),
        ("features.py", "def build(", "def build((", "features.py, line 9: SyntaxError"),
        ("features.py", 'alias("late_rate_7d")', 'alias("late_rate")', "build() returns no late_rate_7d; it returns partition"),
        ("features.py", '"delay") > 15', '"dely") > 15', "build() fails on empty tables: AnalysisException"),
        ("features.py", '        "weight",', '        F.col("depot").alias("weight"),', "returns weight as string; make it"),
        ("features.py", "days=[7]", "days=[8]", "line 14: build() fails on empty tables: SpecError: a"),
        ("expectations.py", "def contracts()", "def contract()", "must define a function contracts()"),
        ("expectations.py", "def contracts()", "def contracts(tables)", "the function must take contracts()"),
        ("source.py", ", partitions: Partitions)", ")", "land(landing, partitions)"),
    ],
)  # fmt: skip
def test_what_a_stage_would_stumble_over_is_found_before(
    folder: Path, file: str, old: str, new: str, words: str
) -> None:
    change(folder, file, old, new)
    found = problems()
    assert len(found) == 1 and words in found[0]
    assert str(folder / file) in found[0] or str(folder / file.removesuffix(".py")) in found[0]


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("expectations.py", 'column="weight"', 'column="wieght"', "there is no 'wieght'; did you mean 'weight'?"),
        ("expectations.py", "max_bad_share=0.0", "max_bad_share=5", "max_bad_share is 5; it is a share, 0 to 1"),
        ("expectations.py", '"weight_range"', '"known_depot"', "the rule 'known_depot' is there twice"),
        ("expectations.py", '"volume"', '"bad_share"', "'bad_share' is Contrail's own rule"),
        ("expectations.py", '{"known_depot"', '{"depot"', "the rule 'depot' has the name of a column"),
        (
            "pipeline.yaml",
            "max_depth: 3",
            "max_dept: 3",
            "train.params: XGBoost has no parameter 'max_dept'. Did you mean",
        ),
        (
            "pipeline.yaml",
            "max_bin: {choices: [16, 64]}",
            "max_bins: {choices: [16, 64]}",
            "tune.search.max_bins: 16: XGBoost has no parameter 'max_bins'. Did you mean 'max_bin'?",
        ),
        (
            "pipeline.yaml",
            "max_bin: {choices: [16, 64]}",
            "grow_policy: {choices: [depthwise, losguide]}",
            "tune.search.grow_policy: losguide: XGBoost refuses the training parameters",
        ),
    ],
)
def test_a_thorough_check_also_reads_contracts_and_parameters(
    folder: Path, file: str, old: str, new: str, words: str
) -> None:
    change(folder, file, old, new)
    assert problems() == []
    (only,) = problems(thorough=True)
    assert words in only


def test_spec_and_modules_are_wrong_at_once(folder: Path) -> None:
    change(folder, "pipeline.yaml", "delay > 15", "dely > 15")
    change(folder, "pipeline.yaml", "owner:", "onwer:")
    (folder / "expectations.py").unlink()
    (folder / "source.py").unlink()  # may be missing
    found = problems()
    unknown, module, missing = sorted(found, key=lambda said: ("Field required" in said, "is missing" in said))
    assert "pipeline.yaml, line 4: onwer: unknown key; did you mean 'owner'?" in unknown
    assert "pipeline.yaml: owner: Field required" in missing
    assert "expectations.py is missing" in module


def test_a_folder_of_another_name_and_no_folder(folder: Path) -> None:
    folder.rename(folder.with_name("toys"))
    settings.cache_clear()
    assert "name is 'toy' but the folder is 'toys'" in check_pipeline("toys").problems[0]
    with pytest.raises(SpecError, match="no pipeline 'toy'"):
        check_pipeline("toy")


def test_a_target_without_a_price_is_found_where_there_is_a_budget(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prices.yaml").write_text(PRICES)
    a100 = {**GPU, "machine_type": "a2-highgpu-1g", "accelerator_type": "NVIDIA_TESLA_A100"}
    for budget, words in (({}, []), ({"monthly_budget": 10}, ["no price for a2-highgpu-1g in prices.yaml"] * 2)):
        current = made(tmp_path, a100, **budget)
        monkeypatch.setattr(check, "settings", functools.partial(Settings.model_copy, current))
        said = problems()
        assert len(said) == len(words)
        assert all(word in one for word, one in zip(words, said, strict=True))
    (tmp_path / "prices.yaml").write_text(PRICES.replace("currency: EUR", "currency: euro"))
    assert ["currency: String should match pattern" in one for one in problems()] == [True]


def test_what_a_model_card_would_miss_is_noted_and_is_no_problem(folder: Path) -> None:
    notes = check_pipeline("toy").notes
    assert [note.split(" says ")[1][:24] for note in notes] == ["nothing under '## Intend", "nothing under '## Limits"]
    assert all(str(folder / "README.md") in note for note in notes)
    (folder / "README.md").write_text("## Intended use\nTests.\n\n## Limits\nMade up.\n")
    assert check_pipeline("toy").notes == check_pipeline("toy").problems == ()
