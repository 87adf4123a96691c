"""What Contrail prints with ``--json`` and keeps as JSON has the form of the golden files, in the order of the keys.

After a change that is meant, ``PYTHONPATH=include:plugins python -m tests.integration.json_forms`` writes them again.
"""

import pytest
from tests.integration.json_forms import GOLDEN, forms

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("json-forms")]

NAMES = sorted(path.stem for path in GOLDEN.glob("*.json"))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The JSON of a toy pipeline's life, which runs once."""
    return forms(tmp_path_factory.mktemp("json-forms"))


def test_every_form_has_a_golden_file(found: dict[str, str]) -> None:
    assert sorted(found) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_json_is_that_of_the_golden_file(found: dict[str, str], name: str) -> None:
    assert found[name] == (GOLDEN / f"{name}.json").read_text(encoding="utf-8")
