"""``terraform/`` is well formed, fits the real provider's schema, passes its own tests and checkov's policies.

A defect in a copy shows that each check can fail. terraform/README.md says what the checks cannot see.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.terraform import planted
from tests.terraform.copies import ROOT, Copy, Defect, needs_tools

needs_tools()
pytestmark = pytest.mark.slow

MODULES = sorted(path.name for path in (ROOT / "modules").iterdir())
SENSE = sorted({Path(defect.file).parent.name for defect in planted.OF_SENSE.values()})
SKIP = re.compile(r"checkov:skip=(CKV2?_GCP_\d+)")


def test_is_formatted(copy: Copy) -> None:
    assert copy.terraform("fmt", "-check", "-recursive", "-diff").said == ""


def test_fits_the_schema_of_the_provider(copy: Copy) -> None:
    assert copy.validate() == []


def test_the_schema_is_of_the_provider_that_is_asked_for() -> None:
    from tests.terraform.provider_schema import provider_version

    assert f'version = "{provider_version()}"' in (ROOT / "versions.tf").read_text()


@pytest.mark.parametrize("environment", ["prod", "stage"])
def test_the_whole_can_be_planned(copy: Copy, environment: str) -> None:
    ran = copy.test("-filter=tests/root.tftest.hcl", f"-var-file=environments/{environment}.tfvars")
    assert ran.code == 0, ran.said


@pytest.mark.parametrize("part", [*MODULES, "variables"])
def test_each_module_passes_its_tests(copy: Copy, part: str) -> None:
    copy.keep(part)
    ran = copy.test()
    assert ran.code == 0 and re.search(r"[1-9]\d* passed, 0 failed", ran.said), ran.said


def test_every_variable_refuses_something() -> None:
    text = (ROOT / "variables.tf").read_text()
    checked = {
        name for name, body in re.findall(r'^variable "(\w+)" {\n(.*?)^}', text, re.M | re.S) if "validation {" in body
    }
    flags = {
        name for name, body in re.findall(r'^variable "(\w+)" {\n(.*?)^}', text, re.M | re.S) if "= bool\n" in body
    }
    refused = set(
        re.findall(r"expect_failures = \[var\.(\w+)\]", (ROOT / "tests" / "variables.tftest.hcl").read_text())
    )
    assert refused == checked
    assert checked | flags == set(re.findall(r'^variable "(\w+)"', text, re.M))


# ---- planted defects ----


def test_there_are_enough_of_them_in_every_module() -> None:
    kinds = (planted.OF_FORM, planted.OF_VALUES, planted.OF_SENSE, planted.OF_THE_WHOLE, planted.OF_VARIABLES)
    assert sum(len(kind) for kind in kinds) >= 100
    assert SENSE == MODULES


@pytest.mark.parametrize(
    "defect", [*planted.OF_FORM.values(), *planted.OF_VALUES.values()], ids=[*planted.OF_FORM, *planted.OF_VALUES]
)
def test_validate_finds(copy: Copy, defect: Defect) -> None:
    copy.plant(defect)
    errors = Copy((copy.folder / defect.file).parent).validate()
    assert any(defect.complaint in error for error in errors), errors


@pytest.mark.parametrize("module", SENSE)
def test_a_modules_tests_find(copy: Copy, module: str) -> None:
    """All defects of a module at once, each in a copy of the module: to start Terraform takes longer than a test."""
    defects = {name: defect for name, defect in planted.OF_SENSE.items() if defect.file == f"modules/{module}/main.tf"}
    copy.plant_each(module, defects.values())
    for path in copy.folder.glob("*.tf"):
        if path.name != "versions.tf":
            path.unlink()
    for path in copy.folder.glob("tests/*"):
        if not re.fullmatch(rf"{module}-\d+\.tftest\.hcl", path.name):
            path.unlink()
    found = copy.failures()
    said = {name: found.get(f"{module}-{index}", "nothing") for index, name in enumerate(defects)}
    assert {name: text for name, text in said.items() if defects[name].complaint not in text} == {}


@pytest.mark.parametrize("defect", planted.OF_THE_WHOLE.values(), ids=planted.OF_THE_WHOLE)
def test_the_test_of_the_whole_finds(copy: Copy, defect: Defect) -> None:
    copy.plant(defect)
    ran = copy.test("-filter=tests/root.tftest.hcl", "-var-file=environments/prod.tfvars")
    assert ran.code == 1 and defect.complaint in ran.said, ran.said


@pytest.mark.parametrize("defect", planted.OF_VARIABLES.values(), ids=planted.OF_VARIABLES)
def test_the_tests_of_the_variables_find(copy: Copy, defect: Defect) -> None:
    copy.keep("variables")
    copy.plant(defect)
    ran = copy.test()
    assert ran.code == 1 and f'run "{defect.complaint}"... fail' in ran.said, ran.said


# ---- what others take from it ----


def test_gives_what_the_environments_ask_for() -> None:
    environments = ROOT.parent / "include" / "environments"
    asked = {name.upper() for name in re.findall(r"{([a-z_]+)}", (environments / "prod.yaml").read_text())}
    given = set(re.findall(r"CONTRAIL_([A-Z_]+) +=", (ROOT / "outputs.tf").read_text()))
    assert asked - given <= {"HOME", "PROJECT", "JOB_IMAGE"}


def test_gives_what_docs_and_workflows_read() -> None:
    """Every `terraform output NAME` on a page or in a workflow, and the variables for GitHub in the README's table."""
    project = ROOT.parent
    pages = [
        *project.glob("docs/**/*.md"),
        *project.glob("*.md"),
        ROOT / "README.md",
        *project.glob(".github/workflows/*.yaml"),
    ]
    text = "\n".join(page.read_text() for page in pages)
    read = set(re.findall(r"terraform(?: -chdir=\S+)? output (?:-\w+ )*(\w+)", text))
    outputs = (ROOT / "outputs.tf").read_text()
    given = set(re.findall(r'^output "(\w+)"', outputs, re.MULTILINE))
    assert read and read <= given
    table = re.findall(r"^\s*\| `\w+`.* \| `([\w.]+)` \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert "service_accounts.deployer" in table
    for name in table:
        output, _, key = name.partition(".")
        assert output in given and (not key or re.search(rf"^    {key}\s+=", outputs, re.MULTILINE)), name


def test_env_has_what_docs_take_from_it() -> None:
    """docs/gcp.md reads addresses and names out of .env: Terraform gives them, or a release does."""
    page = (ROOT.parent / "docs" / "gcp.md").read_text()
    taken = set(re.findall(r"\^(CONTRAIL_\w+)=", page))
    written = set(re.findall(r"(CONTRAIL_\w+)=[^=]*>> \.env", page)) | set(
        re.findall(r"printf .*?(CONTRAIL_\w+)=", page)
    )
    given = set(re.findall(r"(CONTRAIL_\w+) +=", (ROOT / "outputs.tf").read_text()))
    assert taken and taken <= given | written
    asked = set(re.findall(r"\${(CONTRAIL_\w+):\?see", (ROOT.parent / "docker-compose.gcp.yaml").read_text()))
    assert asked <= given | {"CONTRAIL_ENV", "CONTRAIL_REVISION", "CONTRAIL_AIRFLOW_IMAGE"}
    assert {"CONTRAIL_REVISION", "CONTRAIL_AIRFLOW_IMAGE"} <= set(re.findall(r"(CONTRAIL_\w+)=", page))


def test_alerts_read_what_contrail_writes() -> None:
    """A filter that no message fits never matches, and nobody would notice."""
    notify = ROOT.parent / "include" / "contrail" / "notify"
    kinds = set(re.findall(r'^    \w+ = "([\w ]+)"$', (notify / "messages.py").read_text(), re.MULTILINE))
    monitoring = (ROOT / "modules" / "monitoring" / "main.tf").read_text()
    read = re.search(r"jsonPayload\.kind=\((.*?)\)", monitoring)
    assert read
    assert set(re.findall(r'\\"(\w+)\\"', read[1])) <= kinds
    settings = (ROOT.parent / "include" / "contrail" / "config" / "settings.py").read_text()
    log = settings.partition("class CloudLogSettings")[2].partition("\nclass ")[0]
    assert re.search(r"logs/(\w+)\"", monitoring)[1] in log  # type: ignore[index]


# The kinds of the metrics that our alerts read. `uptime` is a counter: Google's own gcpdiag asks for its rate.
GAUGE, CUMULATIVE = "GAUGE", "CUMULATIVE"
METRICS = {
    "agent.googleapis.com/agent/uptime": CUMULATIVE,
    "agent.googleapis.com/disk/percent_used": GAUGE,
    "agent.googleapis.com/memory/percent_used": GAUGE,
}
# Cloud Monitoring refuses every other one for its kind (google.cloud.monitoring_v3.Aggregation.Aligner).
ALIGNERS = {GAUGE: {"ALIGN_MEAN", "ALIGN_MAX", "ALIGN_MIN"}, CUMULATIVE: {"ALIGN_RATE", "ALIGN_DELTA"}}


def test_an_alert_aligns_a_metric_as_its_kind_allows() -> None:
    monitoring = (ROOT / "modules" / "monitoring" / "main.tf").read_text()
    found = re.findall(r'metric\.type=\\"([^"]+)\\".*?per_series_aligner\s+= "(\w+)"', monitoring, re.DOTALL)
    read = [(metric.replace("${each.key}", key), aligner) for metric, aligner in found for key in ("disk", "memory")]
    assert {metric for metric, _ in read} == METRICS.keys()
    assert not [pair for pair in read if pair[1] not in ALIGNERS[METRICS[pair[0]]]]


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


def test_policies_find_what_is_planted_and_what_is_skipped(copy: Copy) -> None:
    """All at once: to start checkov takes longer than all of its policies."""
    expected = {defect.complaint for defect in planted.OF_POLICY.values()}
    for defect in planted.OF_POLICY.values():
        copy.plant(defect)
    for path in copy.folder.rglob("*.tf"):
        text = path.read_text()
        expected |= set(SKIP.findall(text))
        path.write_text(text.replace("checkov:skip", "no skip"))
    found = {breach.split()[0] for breach in checkov(copy.folder)}
    assert expected - found == set(), "a defect is not found, or a skip excuses nothing"
