"""What doctor asks for is what Terraform makes."""

import re
from pathlib import Path

import pytest
from tests.conftest import PROJECT
from tests.unit.config.test_settings import load

from contrail.config.settings import Settings, settings
from contrail.operations.doctor import grants

TERRAFORM = PROJECT / "terraform"


@pytest.fixture
def prod(monkeypatch: pytest.MonkeyPatch) -> Settings:
    return load(monkeypatch, "prod")


def of(*parts: str) -> str:
    return TERRAFORM.joinpath(*parts).read_text()


def test_every_service_that_is_asked_for_is_one_that_terraform_enables(prod: Settings) -> None:
    wanted = set(grants.services_of(prod))
    made = set(re.findall(r'"([a-z]+\.googleapis\.com)"', of("modules", "services", "main.tf")))
    by_hand = {"serviceusage.googleapis.com"}  # Terraform calls it first, so terraform/README.md enables it
    assert wanted - by_hand <= made
    assert {"dataproc.googleapis.com", "aiplatform.googleapis.com", "biglake.googleapis.com"} <= wanted


def test_every_role_that_is_named_is_one_that_terraform_grants(prod: Settings) -> None:
    text = of("main.tf") + of("modules", "identity", "main.tf") + of("modules", "storage", "main.tf")
    wanted = [*grants.project_grants(prod), grants.BUCKET]
    for role in {grant.role for grant in wanted}:
        name = role.removeprefix("projects/{project}/roles/")
        assert f'"{name}"' in text, role


def test_the_custom_role_has_the_permissions_that_are_asked_for(prod: Settings) -> None:
    (custom,) = [grant for grant in grants.project_grants(prod) if grant.role.startswith("projects/")]
    role = of("main.tf").split('"vertex_submitter"')[1].split("]")[0]
    assert set(re.findall(r'"(aiplatform\.[\w.]+)"', role)) == set(custom.permissions)


def test_every_bucket_of_the_environment_is_asked_for_once(prod: Settings) -> None:
    found = grants.buckets_of(prod)
    named = re.findall(r'"gs://\{(\w+)\}', (PROJECT / "include" / "environments" / "prod.yaml").read_text())
    assert sorted(found) == sorted({prod.variables[f"CONTRAIL_{name.upper()}"] for name in named})


def test_a_laptop_needs_nothing_of_google(toy_home: Path) -> None:
    assert grants.google_project_of(settings()) is None
    assert grants.buckets_of(settings()) == []
