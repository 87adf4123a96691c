"""What is applied is what was planned: the lock of the provider, and Terraform's saved plan."""

import re
from pathlib import Path

import pytest
from tests.terraform.copies import ROOT, Copy, needs_tools

needs_tools()
LOCK = ROOT / ".terraform.lock.hcl"
PROVIDER = "registry.terraform.io/hashicorp/google"
COMMAND = re.search(r"terraform providers lock (.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
ASKED = re.search(r'^\s+version = "(.*)"', (ROOT / "versions.tf").read_text(), re.MULTILINE)


def platforms() -> list[str]:
    """The platforms that the README's command locks."""
    assert COMMAND
    return re.findall(r"-platform=(\w+)", COMMAND[1])


def lock_faults(text: str, version: str) -> list[str]:
    """Why a lock would give somebody another provider than the checked one, or none."""
    assert ASKED
    faults = []
    if re.findall(r'^provider "(.*)" {$', text, re.MULTILINE) != [PROVIDER]:
        faults.append("other providers")
    if re.findall(r'^\s+version\s+= "(.*)"$', text, re.MULTILINE) != [version]:
        faults.append(f"the schema that the tests use is of {version}")
    if re.findall(r'^\s+constraints\s+= "(.*)"$', text, re.MULTILINE) != [ASKED[1]]:
        faults.append("made for another versions.tf")
    if len(set(re.findall(r'"h1:[\w+/]{43}="', text))) < len(platforms()):
        faults.append("a platform has no hash")
    if len(set(re.findall(r'"zh:[0-9a-f]{64}"', text))) < len(platforms()):
        faults.append("the registry's own hashes are missing")
    return faults


def lock(version: str) -> str:
    """A lock as Terraform writes it; its hashes are of nothing."""
    assert ASKED
    hashes = [f'"h1:{index:043d}=",' for index in range(len(platforms()))]
    hashes += [f'"zh:{index:064x}",' for index in range(len(platforms()) + 7)]
    lines = [
        f'version     = "{version}"',
        f'constraints = "{ASKED[1]}"',
        "hashes = [",
        *(f"  {line}" for line in hashes),
        "]",
    ]
    return "\n".join(
        ["# Terraform maintains it.", f'provider "{PROVIDER}" {{', *(f"  {line}" for line in lines), "}", ""]
    )


def test_a_committed_lock_gives_everyone_the_provider_that_is_checked() -> None:
    """Nobody here reaches the registry, so the first person with a project commits it. CI fails until then."""
    from tests.terraform.provider_schema import provider_version

    assert lock_faults(lock(provider_version()), provider_version()) == []
    if LOCK.exists():
        assert lock_faults(LOCK.read_text(), provider_version()) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("hashicorp/google", "hashicorp/google-beta", "other providers"),
        ('version     = "8.7.0"', 'version     = "8.7.1"', "the schema"),
        ('constraints = "8.7.0"', 'constraints = "~> 8.0"', "another versions.tf"),
        ('    "h1:' + f'{0:043d}=",\n', "", "a platform has no hash"),
        ('"zh:', '"sh:', "own hashes are missing"),
    ],
)
def test_a_lock_that_does_not_fit_is_found(old: str, new: str, complaint: str) -> None:
    text = lock("8.7.0")
    assert old in text
    assert any(complaint in fault for fault in lock_faults(text.replace(old, new), "8.7.0"))


def test_the_platforms_are_those_of_people_and_of_ci() -> None:
    assert set(platforms()) == {"linux_amd64", "linux_arm64", "darwin_arm64", "darwin_amd64", "windows_amd64"}


def test_terraform_refuses_a_saved_plan_once_the_state_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """deploy-environment.yaml applies a file. Of two that were planned on one state the second must not undo the first."""
    monkeypatch.setenv("CHECKPOINT_DISABLE", "1")
    (tmp_path / "main.tf").write_text('variable "size" {}\nresource "terraform_data" "this" {\n  input = var.size\n}\n')
    toy = Copy(tmp_path)
    assert toy.terraform("init", "-input=false", "-lockfile=readonly").code == 0
    for size in ("1", "2"):
        planned = toy.terraform("plan", "-input=false", "-lock=false", f"-var=size={size}", f"-out={size}.tfplan")
        assert planned.code == 0, planned.said
    assert toy.terraform("apply", "-input=false", "1.tfplan").code == 0
    refused = toy.terraform("apply", "-input=false", "2.tfplan")
    assert refused.code == 1 and "Saved plan is stale" in refused.said, refused.said
