"""Every target that a page or an environment file shows has a price, so that no budget refuses it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from contrail.config.prices import load_prices
from contrail.config.targets import DataprocTarget, Target, VertexTarget
from contrail.methods.cost import expected_cost

PROJECT = Path(__file__).resolve().parents[3]
PRICES = load_prices(PROJECT / "include" / "prices" / "google_cloud.yaml")
PAGES = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("terraform/*.md")]
ENVIRONMENTS = sorted((PROJECT / "include" / "environments").glob("*.yaml"))
# What an excerpt of an environment file leaves out.
PLACE = {"project": "p", "region": "us-central1", "service_account": "a", "image": "i"}
LEFT_OUT: dict[str, dict[str, Any]] = {"vertex": PLACE, "dataproc": {**PLACE, "subnetwork": "s"}}
BRACES = re.compile(r"\{([a-z]+)[a-z_]*\}")  # a name that the environment fills in
MACHINE = re.compile(r"\b(?:a[23]|g2|n1)-[a-z]+-?\d+g?\b")


def targets_in(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The mappings under a key ``targets``, wherever it stands."""
    if isinstance(value, dict):
        for key, inside in value.items():
            if key == "targets" and isinstance(inside, dict):
                yield from inside.items()
            else:
                yield from targets_in(inside)


def shown() -> Iterator[Any]:
    """The Google targets of all pages and environment files."""
    texts = [(path.name, path.read_text()) for path in ENVIRONMENTS]
    texts += [
        (page.name, block)
        for page in PAGES
        for block in re.findall(r"```ya?ml[^\n]*\n(.*?)```", page.read_text(), re.S)
    ]
    for name, text in texts:
        for target, values in targets_in(yaml.safe_load(BRACES.sub(r"\1", text))):
            if left_out := LEFT_OUT.get(values["kind"]):
                yield pytest.param(TypeAdapter(Target).validate_python({**left_out, **values}), id=f"{name}: {target}")


SHOWN = list(shown())


def test_the_pages_and_the_environments_show_targets() -> None:
    names = {str(one.id) for one in SHOWN}
    assert {"prod.yaml: spark", "prod.yaml: gpu", "gcp.md: gpus", "gcp.md: gpu"} <= names


@pytest.mark.parametrize("target", SHOWN)
def test_a_documented_target_has_a_price_for_every_attempt(target: DataprocTarget | VertexTarget) -> None:
    attempts = range(1, getattr(target, "attempts", 1) + 1)
    unknown = [str(one) for one in (expected_cost([], 1, target, PRICES, a) for a in attempts) if one.amount is None]
    assert unknown == []


def test_a_machine_that_a_page_names_has_a_price() -> None:
    named = {name for page in PAGES for name in MACHINE.findall(page.read_text())}
    assert named, "docs/gcp.md names at least one"
    assert sorted(named - set(PRICES.vertex.machines)) == []
