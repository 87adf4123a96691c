"""A process that has loaded the libraries, and forks for each set of trials: to load them takes eight processor seconds."""

import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn, Self

from tests.chaos.ending import end_with
from tests.chaos.one import load_libraries
from tests.chaos.preload import environment
from tests.conftest import PROJECT


class Server:
    """The process, for as long as it is entered. It has one set of trials at a time."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.chaos.served"]
        self._process = subprocess.Popen(
            command, env=environment(), cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()  # which ends it
        self._process.wait()
        self._process.stdout.close()

    def ran(self, module: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run a module with options, in a child of the process, to its end."""
        assert self._process.stdin and self._process.stdout
        with tempfile.TemporaryDirectory(prefix="contrail-chaos-") as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            print(json.dumps([module, options, str(out), str(err)]), file=self._process.stdin, flush=True)
            code = int(self._process.stdout.readline())
            return subprocess.CompletedProcess([module, *options], code, out.read_text(), err.read_text())


def main() -> None:
    """Serve until nobody asks any more."""
    load_libraries()
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            _child(*json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _child(module: str, options: list[str], *files: str) -> NoReturn:
    def act() -> None:
        os.close(0)
        os.open(os.devnull, os.O_RDONLY)
        for number, file in enumerate(files, start=1):
            os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND), number)
        sys.argv = [module, *options]
        importlib.import_module(module).main()

    end_with(act)


if __name__ == "__main__":
    main()
