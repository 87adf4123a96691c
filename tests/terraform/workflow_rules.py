"""What must hold of the GitHub workflows so that each check in them can fail, and what was checked is what is deployed.

zizmor looks for holes through which others get in. These rules look for failures that nobody would see.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SWALLOWED = re.compile(r"\|\|\s*(true|:|echo|exit 0)(\s|$)|set \+e|;\s*true\s*$", re.MULTILINE)
ALWAYS = re.compile(r"\b(always|failure|cancelled|success)\(\)")
EVENT = re.compile(r"github\.event_name\s*[=!]=\s*'(\w+)'")
REQUIRED = re.compile(r"environ(?:\.get\(|\[)\"(CONTRAIL_TEST_\w+)\"\)? == \"required\"")
DEPLOY = "/deploy-environment.yaml"


@dataclass(frozen=True)
class Job:
    """A job, or the composite action of a file: where it is, what it says, and its steps."""

    place: str
    said: dict[str, Any]
    steps: list[dict[str, Any]]

    @property
    def script(self) -> str:
        """All that its steps run, comments left out."""
        return re.sub(r"(^|\s)#.*", "", "\n".join(str(step.get("run", "")) for step in self.steps))

    def only(self, event: str) -> bool:
        return f"== '{event}'" in str(self.said.get("if", ""))


class Repository:
    """The workflows and actions of a repository, and what they refer to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = {
            path.name: yaml.safe_load(path.read_text()) for path in sorted((root / ".github/workflows").glob("*.yaml"))
        }
        self.jobs = [
            Job(f"{name}: {key}", job, job.get("steps", []))
            for name, file in self.files.items()
            for key, job in file["jobs"].items()
        ]
        for path in sorted((root / ".github/actions").glob("*/action.yaml")):
            said = yaml.safe_load(path.read_text())
            self.jobs.append(Job(f"actions/{path.parent.name}", said, said["runs"]["steps"]))

    def faults(self) -> list[str]:
        """A line for each rule that does not hold somewhere."""
        rules = (_failures_count, _conditions_can_hold, _scans_can_fail, _references_exist, _deployments_wait)
        more = (_terraform_applies_what_was_shown, _images_are_built_once, _images_are_attested, _tests_are_not_skipped)
        libraries = (_libraries_are_audited, _the_bill_is_kept)
        return [fault for rule in (*rules, *more, *libraries) for fault in rule(self)]

    def recipes(self) -> dict[str, str]:
        """What each target of the Makefile runs."""
        text = (self.root / "Makefile").read_text()
        return dict(re.findall(r"^([a-z-]+):.*\n((?:\t.*\n)*)", text, re.MULTILINE))


def _failures_count(repository: Repository) -> Iterator[str]:
    for name, file in repository.files.items():
        if file.get("defaults", {}).get("run", {}).get("shell") != "bash" and any(
            step.get("run") for job in file["jobs"].values() for step in job.get("steps", [])
        ):
            yield f"{name}: without `shell: bash` a failure before a pipe is not seen"
    for job in repository.jobs:
        if any("continue-on-error" in said for said in (job.said, *job.steps)):
            yield f"{job.place}: goes on after an error"
        if found := SWALLOWED.search(job.script):
            yield f"{job.place}: swallows a failure: {found[0]}"
        if any("shell" in step for step in job.steps):
            yield f"{job.place}: a step has a shell of its own"
        if "runs-on" in job.said and "timeout-minutes" not in job.said:
            yield f"{job.place}: has no time limit"


def _conditions_can_hold(repository: Repository) -> Iterator[str]:
    for name, file in repository.files.items():
        triggers = file[True] or {}  # YAML reads the key `on` as true
        for event, said in triggers.items():
            if event != "schedule" and set(said or {}) & {"paths", "paths-ignore", "branches-ignore"}:
                yield f"{name}: {event} leaves changes out by their paths"
            if event == "push" and (said or {}).get("branches") != ["main"]:
                yield f"{name}: a push to main must run it"
        for key, job in file["jobs"].items():
            for condition in (str(said.get("if", "")) for said in (job, *job.get("steps", []))):
                if ALWAYS.search(condition):
                    yield f"{name}: {key} runs whatever happened before it"
                if set(EVENT.findall(condition)) - set(triggers):
                    yield f"{name}: {key} waits for an event that never comes: {condition}"
    ci = repository.files["ci.yaml"]
    if not {"pull_request", "push"} <= set(ci[True]):
        yield "ci.yaml: runs for each pull request and each merge"


def _scans_can_fail(repository: Repository) -> Iterator[str]:
    scans = [step["with"] for job in repository.jobs for step in job.steps if "scan-action" in step.get("uses", "")]
    if any(not scan.get("fail-build") or "severity-cutoff" not in scan for scan in scans):
        yield "a scan has no threshold, or does not fail"
    if ("critical", False) not in {(scan.get("severity-cutoff"), scan.get("only-fixed")) for scan in scans}:
        yield "no scan fails for a critical vulnerability without a fix"
    if ("high", True) not in {(scan.get("severity-cutoff"), scan.get("only-fixed")) for scan in scans}:
        yield "no scan fails for a high vulnerability that has a fix"
    for job in repository.jobs:
        if "docker build " in job.script and not any(
            step.get("uses") == "$/.github/actions/scan" for step in job.steps
        ):
            yield f"{job.place}: builds an image that nobody scans"


def _references_exist(repository: Repository) -> Iterator[str]:
    targets = set(re.findall(r"^([a-z-]+):", (repository.root / "Makefile").read_text(), re.MULTILINE))
    stages = set(re.findall(r"^FROM .* AS (\w+)$", (repository.root / "Dockerfile").read_text(), re.MULTILINE))
    environments = {path.stem for path in (repository.root / "terraform/environments").glob("*.tfvars")}
    for job in repository.jobs:
        for used in (str(said.get("uses", "")) for said in (job.said, *job.steps)):
            if used.startswith("$/"):
                path = repository.root / used.removeprefix("$/")
                if not (path.is_file() or (path / "action.yaml").is_file()):
                    yield f"{job.place}: {used} does not exist"
        paths = re.findall(r"(?:bash|python3?) ([.\w/]+)", job.script)
        yield from (f"{job.place}: {path} does not exist" for path in paths if not (repository.root / path).exists())
        made = re.findall(r"\bmake ([a-z-]+)", job.script)
        yield from (f"{job.place}: make {target} does not exist" for target in made if target not in targets)
        matrix = job.said.get("strategy", {}).get("matrix", {})
        if "target" in matrix and set(matrix["target"]) != stages:
            yield f"{job.place}: an image of the Dockerfile is left out"
        if "environment" in matrix and set(matrix["environment"]) != environments:
            yield f"{job.place}: an environment is left out"


def _deployments_wait(repository: Repository) -> Iterator[str]:
    jobs = repository.files["ci.yaml"]["jobs"]
    deployments = [key for key, job in jobs.items() if str(job.get("uses", "")).endswith(DEPLOY)]
    if [jobs[key]["with"]["environment"] for key in deployments] != ["stage", "prod"]:
        yield "ci.yaml: what passed goes to stage, then to prod"
    checks = {
        key
        for key, job in jobs.items()
        if "pull_request" not in str(job.get("if", "")) and job.get("needs") is None and key not in deployments
    }
    for key in deployments:
        if missing := checks - _needed(jobs, key):
            yield f"ci.yaml: {key} does not wait for {', '.join(sorted(missing))}"
        if key != "stage" and "stage" not in _needed(jobs, key):
            yield f"ci.yaml: {key} does not wait for stage"
    deploy = repository.files[DEPLOY.strip("/")]["jobs"]["deploy"]
    if deploy.get("environment") != "${{ inputs.environment }}":
        yield "deploy-environment.yaml: the environment's reviewers do not approve"


def _needed(jobs: dict[str, Any], key: str) -> set[str]:
    needs = jobs[key].get("needs") or []
    needs = [needs] if isinstance(needs, str) else needs
    return set(needs).union(*(_needed(jobs, need) for need in needs))


def _terraform_applies_what_was_shown(repository: Repository) -> Iterator[str]:
    for job in repository.jobs:
        for line in re.findall(r"^.*\bterraform -chdir=\S+ .*$", job.script, re.MULTILINE):
            if " init " in line and ("-lockfile=readonly" not in line or "-upgrade" in line):
                yield f"{job.place}: init may take another provider than the locked one"
            if " plan " in line and "-out=" not in line:
                yield f"{job.place}: the plan is not kept"
            if " apply " in line and (not line.rstrip().endswith('.tfplan"') or "-auto-approve" in line):
                yield f"{job.place}: apply makes a plan of its own"
            if " destroy" in line:
                yield f"{job.place}: destroys"
    planners = [job for job in repository.jobs if "terraform" in job.script]
    kept, taken = (_artifacts(planners, f"{way}-artifact") for way in ("upload", "download"))
    if {said["name"] for said in kept} != {said["name"] for said in taken} or not kept:
        yield "the plan that is applied is not the one that was kept"
    if any(said.get("if-no-files-found") != "error" for said in kept):
        yield "a plan that is missing is not noticed"


def _artifacts(jobs: Iterable[Job], action: str) -> list[dict[str, Any]]:
    steps = [step for job in jobs for step in job.steps]
    return [step["with"] for step in steps if f"actions/{action}@" in step.get("uses", "")]


def _images_are_built_once(repository: Repository) -> Iterator[str]:
    for job in repository.jobs:
        if "docker build " in job.script:
            if not (job.only("pull_request") or job.only("push")):
                yield f"{job.place}: builds an image beside the one build of a commit"
            if job.script.find("scripts/pin_images.py") not in range(job.script.find("docker build ")):
                yield f"{job.place}: builds on a base without a digest"
        if not job.only("push") and re.search(r"docker push|gcloud builds", job.script):
            yield f"{job.place}: pushes what it has built"
        if job.only("pull_request") and "write" in {
            job.said["permissions"].get(key) for key in ("packages", "contents")
        }:
            yield f"{job.place}: a pull request may write"
    builders = [job for job in repository.jobs if job.only("push") and "docker build " in job.script]
    if len(builders) != 1:
        yield "a merged commit's images are built in one place"
    deploy = next(job for job in repository.jobs if job.place.endswith("yaml: deploy"))
    if "imagetools create --prefer-index=false" not in deploy.script or '"$copied" != "$digest"' not in deploy.script:
        yield f"{deploy.place}: does not show that the copy is what was scanned"


_ATTESTED = {
    "subject-name": "${{ needs.build.outputs[format('built-{0}', matrix.target)] }}",
    "subject-digest": "${{ needs.build.outputs[matrix.target] }}",
    "push-to-registry": False,
}


def _images_are_attested(repository: Repository) -> Iterator[str]:
    """Who has an image can see which commit and workflow built it: by its digest, after its scan, by a job that runs no code."""
    attesting = "actions/attest-build-provenance@"
    jobs = [
        job for job in repository.jobs if any(str(step.get("uses", "")).startswith(attesting) for step in job.steps)
    ]
    if not jobs:
        yield "nobody attests what is built"
    for job in jobs:
        if job.said.get("needs") != "build":
            yield f"{job.place}: attests what nobody has scanned yet"
        if job.said.get("permissions") != {"id-token": "write", "attestations": "write"}:
            yield f"{job.place}: may not sign an attestation, or may do more"
        if len(job.steps) != 1 or job.steps[0]["with"] != _ATTESTED:
            yield f"{job.place}: attests another image than the one that was built"
        elif job.steps[0].get("if") != "needs.build.outputs[format('built-{0}', matrix.target)] != ''":
            yield f"{job.place}: attests an image that it found"


def _tests_are_not_skipped(repository: Repository) -> Iterator[str]:
    ran, recipes = (repository.root / ".ci/run").read_text(), repository.recipes()
    targets = {target for line in re.findall(r"^make (.*)$", ran, re.MULTILINE) for target in line.split()}
    made = "".join(recipes.get(target, "") for target in targets)
    text = "\n".join(path.read_text() for path in (repository.root / "tests").rglob("*.py"))
    for name in set(REQUIRED.findall(text)):
        if f"{name}=required" not in ran + made:
            yield f"CI skips the tests that need {name}"
    for target in ("check", "test", "check-infra"):
        if target not in targets:
            yield f".ci/run: does not make {target}"
    if "set -euo pipefail" not in ran:
        yield ".ci/run: goes on after a failure"
    if not any("make test-gcp" in job.script for job in repository.jobs):
        yield "no job makes test-gcp"
    for job in repository.jobs:
        if "make test-gcp" in job.script and job.said.get("env", {}).get("CONTRAIL_TEST_SERVERS") != "required":
            yield f"{job.place}: skips the tests that need servers"


def _libraries_are_audited(repository: Repository) -> Iterator[str]:
    """A weakness becomes known without a change of ours, so a night must look for it as a pull request does."""
    audits = [job for job in repository.jobs if "make audit" in job.script]
    for event in ("pull_request", "schedule"):
        if not any(event in repository.files[job.place.partition(":")[0]][True] for job in audits):
            yield f"no job makes audit on {event}"
    for needed in ("--strict", "--require-hashes", "--disable-pip", "for lock in $(LOCKS)", "exit $$failed"):
        if needed not in repository.recipes().get("audit", ""):
            yield f"make audit: without {needed}"
    if "\nLOCKS = $(wildcard requirements*.txt)\n" not in (repository.root / "Makefile").read_text():
        yield "make audit: leaves a lock out"
    for line in (repository.root / ".ci/accepted-weaknesses").read_text().splitlines():
        if not re.fullmatch(r"(\S+ +)?# \S.{20,}", line):
            yield f".ci/accepted-weaknesses: without a reason: {line}"


def _the_bill_is_kept(repository: Repository) -> Iterator[str]:
    written = {
        found: job for job in repository.jobs for found in re.findall(r"contrail sbom --output (\S+)", job.script)
    }
    if not written:
        yield "no job writes the bill of materials"
    for path, job in written.items():
        if path not in {
            said["path"] for said in _artifacts([job], "upload-artifact") if said["if-no-files-found"] == "error"
        }:
            yield f"{job.place}: nobody keeps {path}"
