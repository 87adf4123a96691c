"""The checks of an environment's own files, each with its fault planted."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import PROJECT, TOY_PIPELINES

from contrail.config.settings import Settings, settings
from contrail.config.targets import DispatchSettings
from contrail.operations.doctor import environment
from contrail.operations.doctor.findings import FaultError

GPU = {
    "kind": "vertex", "project": "p", "region": "r", "service_account": "a", "image": "i", "machine_type": "g2-standard-8",
    "accelerator_type": "NVIDIA_L4", "accelerator_count": 1, "spot_attempts": 2,
}  # fmt: skip


def with_target(budget: float | None = 50.0, **parts: Any) -> Settings:
    dispatch = DispatchSettings.model_validate(
        {
            "targets": {"gpu": {**GPU, **parts}},
            "stages": {"train": "gpu"},
            "jobs_uri": "gs://b/jobs",
            "prices": PROJECT / "include" / "prices" / "google_cloud.yaml",
            "monthly_budget": budget,
        }
    )
    return settings().model_copy(update={"dispatch": dispatch})


def test_pipelines_are_named(toy_home: Path) -> None:
    assert environment.pipelines() == "toy"


def test_a_broken_pipeline_names_its_check(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(TOY_PIPELINES / "toy", tmp_path / "pipelines" / "toy")
    (folder / "pipeline.yaml").write_text("name: toy\nnonsense: 1\n")
    monkeypatch.setenv("CONTRAIL_PIPELINES", str(folder.parent))
    settings.cache_clear()
    with pytest.raises(FaultError, match="nonsense") as raised:
        environment.pipelines()
    assert raised.value.commands == ("contrail check -p toy",)


def test_no_pipeline(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRAIL_PIPELINES", str(tmp_path))
    settings.cache_clear()
    with pytest.raises(FaultError, match="there is no pipeline") as raised:
        environment.pipelines()
    assert raised.value.commands == ("contrail new NAME --sample FILE",)


def test_prices_of_every_attempt_are_there(toy_home: Path) -> None:
    assert environment.prices(with_target()).startswith("google_cloud.yaml of ")


@pytest.mark.parametrize("attempts", [0, 1])
def test_a_machine_without_a_price_is_found_where_there_is_a_budget(toy_home: Path, attempts: int) -> None:
    unknown = with_target(
        machine_type="e2-imagined-1", accelerator_type=None, accelerator_count=0, spot_attempts=attempts
    )
    with pytest.raises(FaultError, match="no price for e2-imagined-1") as raised:
        environment.prices(unknown)
    assert raised.value.commands[0].endswith("include/prices/google_cloud.yaml")
    assert ("on a spot machine" in str(raised.value)) == bool(attempts)


def test_without_a_budget_a_price_that_is_missing_refuses_nothing(toy_home: Path) -> None:
    unknown = with_target(None, machine_type="e2-imagined-1", accelerator_type=None, accelerator_count=0)
    assert environment.prices(unknown).startswith("google_cloud.yaml of ")


def test_a_laptop_has_neither_prices_nor_a_budget(toy_home: Path) -> None:
    assert "no price table" in environment.prices(settings())
    assert environment.budget(settings()) == "no budget is set"
