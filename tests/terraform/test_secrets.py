"""No secret is in the repository, as far as detect-secrets can tell. What it takes for one and is none has a reason.

Entropy is left out: in each of the sixteen places that it named was a digest. A secret of a known form, after a word
such as password, or in an address is found without it.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.terraform.copies import needs_tools

needs_tools()
PROJECT = Path(__file__).resolve().parents[2]
ACCEPTED = PROJECT / ".ci/no-secrets"
LINE = re.compile(r"(\S+) ([0-9a-f]{12})  # \S.{15,}")
# Digests of libraries, what programs wrote, and the code of others that runs in a browser.
LEFT_OUT = re.compile(r"(^|/)(requirements[^/]*\.txt|[^/]*\.lock|golden/.*|[^/]*\.(svg|png|ico|woff2))$|^docs/theme/")


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and not LEFT_OUT.search(name)]


def found_in(folder: Path, files: list[str]) -> set[tuple[str, str]]:
    """Each finding: the file, and the beginning of the SHA-1 of what it takes for a secret."""
    without = [part for kind in ("Hex", "Base64") for part in ("--disable-plugin", f"{kind}HighEntropyString")]
    command = [Path(sys.executable).with_name("detect-secrets"), "-c", "1", "scan", "--no-verify", *without, *files]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    results = json.loads(ran.stdout)["results"]
    return {(name, one["hashed_secret"][:12]) for name, all_of_it in results.items() for one in all_of_it}


def test_no_secret_is_committed(tmp_path: Path) -> None:
    lines = [line for line in ACCEPTED.read_text().splitlines() if not line.startswith("# ")]
    accepted = [LINE.fullmatch(line) for line in lines]
    assert all(accepted), "each line is: file, beginning of the digest, and a reason"
    known = {(match[1], match[2]) for match in accepted if match}
    files = tracked()
    assert len(files) > 1000
    found = found_in(PROJECT, files)
    assert found - known == set(), "take the secret out and change it; or say in .ci/no-secrets why it is none"
    assert known - found == set(), ".ci/no-secrets has lines that excuse nothing"


def test_a_secret_is_found(tmp_path: Path) -> None:
    planted = {
        "settings.py": 'password = "k3Jd82mQx0"\n',
        "key.pem": f"-----BEGIN RSA PRIVATE KEY-----\n{'MIIB' * 16}\n-----END RSA PRIVATE KEY-----\n",
        "notes.md": "postgresql://me:k3Jd82mQx0@db:5432/lake\n",
        "cloud.yaml": "id: AKIAIOSFODNN7EXAMPLF\n",
    }
    for name, text in planted.items():
        (tmp_path / name).write_text(text)
    assert {name for name, _ in found_in(tmp_path, sorted(planted))} == set(planted)
