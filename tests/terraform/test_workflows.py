"""The GitHub workflows: zizmor finds no hole, and no check in them can fail without being seen."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.terraform.copies import needs_tools
from tests.terraform.workflow_rules import Repository

needs_tools()
PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the workflows are and refer to, which a test may break."""
    for name in (".github", ".ci", "terraform/environments", "scripts"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    for name in ("Makefile", "Dockerfile"):
        shutil.copy(PROJECT / name, tmp_path)
    (tmp_path / "tests").symlink_to(PROJECT / "tests")
    return tmp_path


def plant(path: Path, old: str, new: str) -> None:
    """Change the first place of a file that has the old text; it must be there, or the test plants nothing."""
    text = path.read_text()
    assert old in text, f"{path.name} has no {old!r}"
    path.write_text(text.replace(old, new, 1))


# ---- zizmor ----


def zizmor(folder: Path) -> tuple[int, str]:
    command = [Path(sys.executable).with_name("zizmor"), "--offline", "--no-progress", folder]
    ran = subprocess.run(command, capture_output=True, text=True)
    return ran.returncode, ran.stdout + ran.stderr


def test_zizmor_finds_nothing() -> None:
    code, said = zizmor(PROJECT / ".github")
    assert code == 0, said


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7", "unpinned-uses"),
        (
            "permissions:\n      contents: read\n    steps:",
            "permissions: write-all\n    steps:",
            "excessive-permissions",
        ),
        ("run: bash .ci/run", 'run: echo "${{ github.event.pull_request.title }}"', "template-injection"),
    ],
)
def test_zizmor_finds(copy: Path, old: str, new: str, finding: str) -> None:
    plant(copy / ".github/workflows/ci.yaml", old, new)
    code, said = zizmor(copy / ".github")
    assert code != 0 and finding in said, said


def test_nothing_logs_in_with_a_key() -> None:
    for path in (PROJECT / ".github").rglob("*.yaml"):
        assert not re.search(r"credentials_json|secrets\.", path.read_text()), path


# ---- no check that cannot fail ----


def test_every_rule_holds() -> None:
    assert Repository(PROJECT).faults() == []


CI, AUDIT, DEPLOY, PLAN = (
    f".github/workflows/{name}.yaml" for name in ("ci", "audit", "deploy-environment", "plan-environment")
)
SCAN = ".github/actions/scan/action.yaml"
PLANTED = {
    "a job that may fail": (
        CI,
        "    timeout-minutes: 90\n",
        "    timeout-minutes: 90\n    continue-on-error: true\n",
        "goes on after an error",
    ),
    "a step that may fail": (
        CI,
        "- run: make test-gcp",
        "- run: make test-gcp\n        continue-on-error: true",
        "goes on after an error",
    ),
    "or true": (CI, "run: bash .ci/run", "run: bash .ci/run || true", "swallows"),
    "or a word": (CI, "run: make test-gcp", "run: make test-gcp || echo failed", "swallows"),
    "set +e": (DEPLOY, "          gcloud auth", "          set +e\n          gcloud auth", "swallows"),
    "no pipefail": (PLAN, "shell: bash", "working-directory: .", "before a pipe"),
    "a shell without pipefail": (
        CI,
        "- run: make test-gcp",
        "- run: make test-gcp\n        shell: sh",
        "a shell of its own",
    ),
    "no time limit": (CI, "    timeout-minutes: 90\n", "", "no time limit"),
    "paths that never match": (CI, "  pull_request:\n", "  pull_request:\n    paths: [src/**]\n", "by their paths"),
    "another branch": (CI, "branches: [main]", "branches: [master]", "push to main"),
    "no pull requests": (CI, "  pull_request:\n", "  workflow_dispatch:\n", "each pull request"),
    "an event that never comes": (
        CI,
        "    if: github.event_name == 'pull_request'",
        "    if: github.event_name == 'pullrequest'",
        "never comes",
    ),
    "deployed whatever failed": (
        CI,
        "  stage:\n    if: github.event_name == 'push'",
        "  stage:\n    if: always() && github.event_name == 'push'",
        "whatever happened",
    ),
    "a scan that never fails": (SCAN, "fail-build: true", "fail-build: false", "no threshold"),
    "a scan without a threshold": (SCAN, "        severity-cutoff: high\n", "", "no threshold"),
    "only what has a fix": (SCAN, "only-fixed: false", "only-fixed: true", "critical vulnerability without a fix"),
    "a scan of less": (SCAN, "severity-cutoff: high", "severity-cutoff: critical", "high vulnerability that has a fix"),
    "an image that is not scanned": (
        CI,
        "      - uses: $/.github/actions/scan\n        with:\n          image: contrail:candidate\n",
        "",
        "nobody scans",
    ),
    "a script that is gone": (CI, "bash .ci/run", "bash .ci/test", "does not exist"),
    "a target that is gone": (CI, "make test-gcp", "make test-cloud", "does not exist"),
    "an action that is gone": (CI, "$/.github/actions/scan", "$/.github/actions/check", "does not exist"),
    "an image left out": (CI, "target: [airflow, job]", "target: [airflow]", "left out"),
    "an environment left out": (CI, "environment: [stage, prod]", "environment: [stage]", "left out"),
    "deployed untested": (
        CI,
        "needs: [check, production, build]",
        "needs: [build]",
        "does not wait for check, production",
    ),
    "prod before stage": (CI, "needs: [build, stage]", "needs: [check, production, build]", "does not wait for stage"),
    "prod in the place of stage": (CI, "environment: stage\n", "environment: prod\n", "to stage, then to prod"),
    "no reviewers": (
        DEPLOY,
        "    environment: ${{ inputs.environment }}\n    # Deployments",
        "    # Deployments",
        "reviewers",
    ),
    "another provider": (PLAN, " -lockfile=readonly", "", "the locked one"),
    "an upgraded provider": (DEPLOY, "-lockfile=readonly", "-lockfile=readonly -upgrade", "the locked one"),
    "a plan that is not kept": (PLAN, ' -out="$ENVIRONMENT.tfplan"', "", "is not kept"),
    "an apply of its own plan": (
        DEPLOY,
        'apply -input=false "$ENVIRONMENT.tfplan"',
        'apply -input=false -auto-approve -var-file="environments/$ENVIRONMENT.tfvars"',
        "a plan of its own",
    ),
    "the plan of another": (
        DEPLOY,
        "name: plan-${{ inputs.environment }}",
        "name: plan-stage",
        "not the one that was kept",
    ),
    "a plan that is missing": (PLAN, "if-no-files-found: error", "if-no-files-found: ignore", "is missing"),
    "built again for each environment": (
        DEPLOY,
        "          gcloud auth",
        "          docker build --tag again .\n          gcloud auth",
        "beside the one build",
    ),
    "a base without a digest": (
        CI,
        "      - run: python3 scripts/pin_images.py\n      - run: docker build",
        "      - run: docker build",
        "without a digest",
    ),
    "a pull request that pushes": (
        CI,
        "--tag contrail:candidate .",
        "--tag contrail:candidate . && docker push contrail:candidate",
        "pushes what it has built",
    ),
    "a pull request that may write": (
        CI,
        "      contents: read\n    env:\n      TARGET",
        "      packages: write\n    env:\n      TARGET",
        "may write",
    ),
    "a copy that is another": (DEPLOY, " --prefer-index=false", "", "what was scanned"),
    "a copy that nobody compares": (DEPLOY, '"$copied" != "$digest"', '"$copied" = ""', "what was scanned"),
    "an image without its origin": (
        CI,
        "      - uses: actions/attest-build-provenance@a2bbfa25375fe432b6a289bc6b6cd05ecd0c4c32 # v4.1.0\n",
        "      - uses: actions/attest-sbom@a2bbfa25375fe432b6a289bc6b6cd05ecd0c4c32 # v4.1.0\n",
        "nobody attests",
    ),
    "the origin of another image": (
        CI,
        "subject-digest: ${{ needs.build.outputs[matrix.target] }}",
        "subject-digest: ${{ needs.build.outputs.job }}",
        "attests another image",
    ),
    "the origin of another name": (
        CI,
        "subject-name: ${{ needs.build.outputs[format('built-{0}', matrix.target)] }}",
        "subject-name: ghcr.io/someone/else",
        "attests another image",
    ),
    "the origin of what was there": (
        CI,
        "        if: needs.build.outputs[format('built-{0}', matrix.target)] != ''\n",
        "",
        "attests an image that it found",
    ),
    "an origin before the scan": (CI, "    needs: build\n", "", "nobody has scanned"),
    "an origin that cannot be signed": (CI, "      attestations: write\n", "", "may not sign"),
    "an origin by who may do more": (
        CI,
        "      attestations: write\n",
        "      attestations: write\n      packages: write\n",
        "may do more",
    ),
    "tests skipped for a browser": (".ci/run", "CONTRAIL_TEST_BROWSER=required ", "", "need CONTRAIL_TEST_BROWSER"),
    "tests skipped for tools": ("Makefile", "CONTRAIL_TEST_INFRA=required ", "", "need CONTRAIL_TEST_INFRA"),
    "tests skipped for servers": (
        CI,
        "      CONTRAIL_TEST_SERVERS: required",
        "      CONTRAIL_TEST_SERVERS: wanted",
        "skips the tests that need servers",
    ),
    "no audit by night": (AUDIT, '  schedule:\n    - cron: "17 4 * * *"\n', "", "no job makes audit on schedule"),
    "no audit of a change": (
        AUDIT,
        "  pull_request:\n",
        "  workflow_dispatch:\n",
        "no job makes audit on pull_request",
    ),
    "an audit that may fail": (AUDIT, "run: make audit", "run: make audit || true", "swallows"),
    "an audit of what could be asked": ("Makefile", "pip-audit --strict", "pip-audit", "make audit: without --strict"),
    "an audit of one lock": ("Makefile", "$(wildcard requirements*.txt)", "requirements.txt", "leaves a lock out"),
    "a weak lock that the next one hides": ("Makefile", "exit $$failed", "true", "make audit: without exit"),
    "a weakness accepted without a reason": (
        ".ci/accepted-weaknesses",
        "# Known",
        "GHSA-aaaa-bbbb-cccc\n# Known",
        "without a reason: GHSA",
    ),
    "no bill of materials": (
        AUDIT,
        "      - run: .venv/bin/contrail sbom --output environment.cdx.json\n",
        "",
        "no job writes the bill",
    ),
    "a bill that nobody keeps": (AUDIT, "path: environment.cdx.json", "path: bill.json", "nobody keeps environment"),
    "no check of terraform": (".ci/run", " check-infra\n", "\n", "does not make check-infra"),
    "a failure before the end": (".ci/run", "set -euo pipefail", "set -u", "goes on after a failure"),
}


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
def test_a_rule_finds(copy: Path, planted: tuple[str, str, str, str]) -> None:
    file, old, new, complaint = planted
    plant(copy / file, old, new)
    faults = Repository(copy).faults()
    assert any(complaint in fault for fault in faults), faults
