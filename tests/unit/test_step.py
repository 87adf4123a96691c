"""What a log holds of a step of ``make setup``: how far it is and how long it took, without uv's list of packages."""

import re
import subprocess
import sys

from tests.conftest import PROJECT

# As uv writes on a terminal: a line is drawn over and over, in colours.
INSTALL = r"""
printf '\033[37m⠙\033[0m Preparing packages... (3/15)   \r\033[2K'; sleep 0.3
printf '█░░ [14/15] numpy==2.4.6 \r\033[2KInstalled \033[1m15 packages\033[0m in 421ms\n'; sleep 1.2
printf ' \033[32m+\033[39m numpy\033[2m==2.4.6\033[0m\n - pandas==2.2.0\n ~ contrail==0.1.0 (from file:///contrail)\n'
"""


def run(script: str) -> tuple[int, list[str]]:
    """The exit status and the lines of a shell script that is run as a step, with a line of progress at once."""
    code = "import sys; sys.path.insert(0, 'scripts'); import step; step._EVERY_SECONDS = 0; "
    code += f"sys.exit(step.Step('Installing', ['bash', '-c', {script!r}]).run())"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def test_a_step_shows_how_far_it_is_and_how_long_it_took() -> None:
    status, lines = run(INSTALL)
    assert (status, lines[0]) == (0, "Installing…")
    assert re.fullmatch(r"  downloaded 3 of 15 packages, \d+ s", lines[1])
    assert re.fullmatch(r"  installed 15 packages, compiling them, \d+ s", lines[2])
    assert re.fullmatch(r"  Installed 15 packages, \d+ s", lines[-1])
    assert not [line for line in lines if "==" in line]


def test_a_step_that_fails_shows_why() -> None:
    status, lines = run("echo 'no such package'; exit 3")
    assert (status, lines[-2]) == (3, "no such package")
    assert re.fullmatch(r"  failed \(exit status 3\), \d+ s", lines[-1])
