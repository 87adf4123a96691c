"""``terraform/`` is well formed, fits the real provider's schema, passes its own tests and checkov's policies.

A defect in a copy shows that each check can fail. terraform/README.md says what the checks cannot see.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.terraform.copies import ROOT, Copy, Defect, needs_tools

needs_tools()
pytestmark = pytest.mark.slow

ACCOUNT, BUCKETS, DATABASE, DELIVERY, NETWORK = (
    f"modules/{name}/main.tf" for name in ("job_account", "storage", "database", "delivery", "network")
)
TRAIN_WRITES = 'train = { member = module.vertex.account.member, writes = [""] }'
SKIP = re.compile(r"checkov:skip=(CKV2?_GCP_\d+)")


def test_is_formatted(copy: Copy) -> None:
    assert copy.terraform("fmt", "-check", "-recursive", "-diff").said == ""


def test_fits_the_schema_of_the_provider(copy: Copy) -> None:
    assert copy.validate() == []


def test_the_schema_is_of_the_provider_that_is_asked_for() -> None:
    from tests.terraform.provider_schema import provider_version

    assert f'version = "{provider_version()}"' in (ROOT / "versions.tf").read_text()


def test_own_tests_pass_for_prod(copy: Copy) -> None:
    ran = copy.test("-var-file=environments/prod.tfvars")
    assert ran.code == 0, ran.said


def test_stage_can_be_planned(copy: Copy) -> None:
    ran = copy.test("-filter=tests/root.tftest.hcl", "-var-file=environments/stage.tfvars")
    assert ran.code == 0, ran.said


DEFECTS_OF_FORM = {
    "unknown attribute": Defect(BUCKETS, "public_access_prevention =", "public_acess = ", "Unsupported argument"),
    "unknown block": Defect(BUCKETS, "versioning {", "versions {", "Unsupported block type"),
    "block given twice": Defect(BUCKETS, "versioning {", "versioning {\nenabled = true\n}\nversioning {", "Too many"),
    "required attribute left out": Defect(BUCKETS, "location = var.region", "", "Missing required argument"),
    "wrong type": Defect(
        DATABASE, "retained_backups = var.settings.backups_kept", 'retained_backups = "many"', "number"
    ),
    "bad reference": Defect(NETWORK, "address.services.name", "address.service.name", "undeclared resource"),
    "bad attribute in a reference": Defect(
        NETWORK, "address.services.name", "address.services.nam", "Unsupported attrib"
    ),
    "computed attribute set": Defect(
        ACCOUNT, "account_id = var.account_id", 'account_id = "a"\nemail = "a@b"', "unconfigurable"
    ),
    "unknown type": Defect(
        BUCKETS, '"google_storage_bucket" "this"', '"google_bucket" "this"', "Invalid resource type"
    ),
    "input of a module left out": Defect("main.tf", "subnet_cidr = var.subnet_cidr", "", "Missing required argument"),
}


@pytest.mark.parametrize("defect", DEFECTS_OF_FORM.values(), ids=DEFECTS_OF_FORM)
def test_validate_finds(copy: Copy, defect: Defect) -> None:
    copy.plant(defect)
    errors = copy.validate()
    assert any(defect.complaint in error for error in errors), errors


DEFECTS_OF_SENSE = {
    "public address": Defect(DATABASE, "ipv4_enabled = false", "ipv4_enabled = true", "No public address"),
    "job writes everywhere": Defect(
        BUCKETS,
        'for_each = contains(each.value.prefixes, "") && length(each.value.except) == 0 ? [] : [each.value]',
        "for_each = []",
        "under its prefixes only",
    ),
    "nobody may list": Defect(BUCKETS, "for_each = local.holders", "for_each = {}", "may list them"),
    "open to the world": Defect(NETWORK, "[var.subnet_cidr]", '["0.0.0.0/0"]', "comes from the subnet"),
    "SSH from anywhere": Defect(NETWORK, '["35.235.240.0/20"]', '["0.0.0.0/0"]', "Identity-Aware Proxy SSH alone"),
    "job account opens every bucket": Defect(ACCOUNT, "resource.service != ", "resource.service == ", "does not open"),
    "analysts read the tables": Defect(
        "modules/bigquery/main.tf", "for_each = toset(var.readers)", "for_each = toset(var.analysts)", "do not read"
    ),
    "published rows expire": Defect(BUCKETS, "? null : [lifecycle_rule.key]", "? null : null", "published objects"),
    "views may not read": Defect(
        "modules/bigquery/main.tf", "google_bigquery_dataset.analysts.dataset_id", '"other"', "may read the published"
    ),
    "any branch deploys": Defect(
        DELIVERY, "attribute.environment/${var.environment}", "attribute.ref/main", "Only a job in the"
    ),
}


@pytest.mark.parametrize("defect", DEFECTS_OF_SENSE.values(), ids=DEFECTS_OF_SENSE)
def test_own_tests_find(copy: Copy, defect: Defect) -> None:
    copy.plant(defect)
    module = Path(defect.file).parent.name
    ran = copy.test(f"-filter=tests/{module}.tftest.hcl")
    assert ran.code == 1 and defect.complaint in ran.said, ran.said


# Each module is as it should be, and what the root makes of it is not.
DEFECTS_OF_THE_WHOLE = {
    "published rows expire": Defect("main.tf", '{ "staging/" = 14 }', '{ "" = 14 }', "deleted by age"),
    "analysts read the tables": Defect(
        "main.tf", "[var.groups.engineers, var.groups.scientists]", "values(var.groups)", "Who may do what"
    ),
    "a job writes what was landed": Defect(
        "main.tf", "nearline_days = 90 access = {", f"nearline_days = 90\naccess = {{\n{TRAIN_WRITES}", "Who may do what"
    ),
    "a job cannot publish": Defect("main.tf", TRAIN_WRITES, "", "Who may do what"),
    "a job writes the code of jobs": Defect(
        "main.tf", '"dvc/"] except = local.airflows_own', '"dvc/"]', "Who may do what"
    ),
    "analysts have a role more": Defect(
        "modules/identity/main.tf", "analysts, roles = [", 'analysts, roles = ["roles/viewer", ', "Who may do what"
    ),
}  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS_OF_THE_WHOLE.values(), ids=DEFECTS_OF_THE_WHOLE)
def test_the_test_of_the_whole_finds(copy: Copy, defect: Defect) -> None:
    copy.plant(defect)
    ran = copy.test("-filter=tests/root.tftest.hcl", "-var-file=environments/prod.tfvars")
    assert ran.code == 1 and defect.complaint in ran.said, ran.said


def test_gives_what_the_environments_ask_for() -> None:
    environments = ROOT.parent / "include" / "environments"
    asked = {name.upper() for name in re.findall(r"{([a-z_]+)}", (environments / "prod.yaml").read_text())}
    given = set(re.findall(r"CONTRAIL_([A-Z_]+) +=", (ROOT / "outputs.tf").read_text()))
    assert asked - given <= {"HOME", "PROJECT", "JOB_IMAGE"}


# --- policies ------------------------------------------------------------------------------------------------------


def checkov(folder: Path) -> set[str]:
    """The policies that the configuration in a folder breaks in prod, as ``<id> <resource>``."""
    command = [Path(sys.executable).with_name("checkov"), "--directory", folder, "--framework", "terraform"]
    options = ["--skip-download", "--compact", "--quiet", "--output", "json"]
    variables = ["--var-file", folder / "environments" / "prod.tfvars"]
    ran = subprocess.run([*command, *options, *variables], capture_output=True, text=True)
    report = json.loads(ran.stdout)
    assert report["summary"]["passed"] > 100, "checkov saw next to nothing"
    return {f"{check['check_id']} {check['resource'].split('[')[0]}" for check in report["results"]["failed_checks"]}


def test_no_policy_is_broken() -> None:
    assert checkov(ROOT) == set()


def test_every_skip_is_explained() -> None:
    skips = [line for path in ROOT.rglob("*.tf") for line in path.read_text().splitlines() if "checkov:skip" in line]
    assert skips
    for skip in skips:
        assert re.fullmatch(rf"\s*#{SKIP.pattern}:\S.{{30,}}", skip), skip
    assert not list(ROOT.glob("**/.checkov.y*ml")), "skips belong beside what they excuse"


DEFECTS_OF_POLICY = {
    "public address": Defect(DATABASE, "ipv4_enabled = false", "ipv4_enabled = true", "CKV_GCP_60"),
    "plain connections": Defect(DATABASE, "TRUSTED_CLIENT_CERTIFICATE_REQUIRED", "ALLOW_UNENCRYPTED_AND_ENCRYPTED", "CKV_GCP_6"),
    "no backups": Defect(DATABASE, "configuration { enabled = true", "configuration {\nenabled = false", "CKV_GCP_14"),
    "access by object": Defect(BUCKETS, "level_access = true", "level_access = false", "CKV_GCP_29"),
    "public bucket": Defect(BUCKETS, '"enforced"', '"inherited"', "CKV_GCP_114"),
    "no versions": Defect(BUCKETS, "versioning { enabled = true", "versioning {\nenabled = false", "CKV_GCP_78"),
    "no private access": Defect(NETWORK, "google_access = true", "google_access = false", "CKV_GCP_74"),
    "anyone pulls images": Defect("modules/registry/main.tf", "= each.value.member", '= "allUsers"', "CKV_GCP_101"),
}  # fmt: skip


def test_policies_find_what_is_planted_and_what_is_skipped(copy: Copy) -> None:
    """All at once: to start checkov takes longer than all of its policies."""
    expected = {defect.complaint for defect in DEFECTS_OF_POLICY.values()}
    for defect in DEFECTS_OF_POLICY.values():
        copy.plant(defect)
    for path in copy.folder.rglob("*.tf"):
        text = path.read_text()
        expected |= set(SKIP.findall(text))
        path.write_text(text.replace("checkov:skip", "no skip"))
    found = {breach.split()[0] for breach in checkov(copy.folder)}
    assert expected - found == set(), "a defect is not found, or a skip excuses nothing"
