"""Run one step of an installation: ``step.py TITLE COMMAND...`` shows how far it is, and at the end how long it took.

On a terminal that is uv's own progress bar; in a log it is a line every ten seconds. uv's list of hundreds of packages is
left out. It needs the standard library alone, for it runs before anything is installed.
"""

import codecs
import fcntl
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress

_EVERY_SECONDS = 10
_CLEAR = "\x1b[K"  # to the end of the line
# Terminals' colours and movements; and how far uv is, as in "Preparing packages... (3/15)".
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_COUNTED = re.compile(r"(Preparing packages)\S* \((\d+)/(\d+)\)|\[(\d+)/(\d+)\]")
_INSTALLED = re.compile(r"Installed \d+ packages?")


class Step:
    """A command on a terminal of its own, and what it has said so far."""

    def __init__(self, title: str, command: list[str]) -> None:
        self.title = title
        self.on_terminal = sys.stdout.isatty()
        self.started = time.monotonic()
        self.now = self.installed = ""
        self._said: list[str] = []
        self._terminal, inner = pty.openpty()
        modes = termios.tcgetattr(inner)
        modes[1] &= ~termios.ONLCR  # the outer terminal makes its line ends itself
        termios.tcsetattr(inner, termios.TCSANOW, modes)
        if self.on_terminal:
            fcntl.ioctl(inner, termios.TIOCSWINSZ, fcntl.ioctl(1, termios.TIOCGWINSZ, b"\0" * 8))
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=inner, stderr=inner)
        os.close(inner)

    def run(self) -> int:
        """Show it until it ends; its exit status."""
        print(f"{self.title}…", flush=True)
        for part in self._parts():
            text = _CONTROLS.sub("", part).strip("\r\n")
            self._remember(text)
            if self.on_terminal and not self.installed:  # then comes its list of packages
                print(part, end="", flush=True)
        status = self._process.wait()
        if status:
            print("" if self.on_terminal and not self.installed else "\n".join(self._said[-40:]))
        outcome = f"failed (exit status {status})" if status else self.installed or "done"
        start = f"\r{_CLEAR}" if self.on_terminal else ""
        print(f"{start}  {outcome}, {self._elapsed()}", flush=True)
        return status

    def _parts(self) -> Iterator[str]:
        """What it says, in parts that end where a terminal's line does or is drawn anew."""
        decode, rest, told = codecs.getincrementaldecoder("utf-8")("replace").decode, "", self.started
        while True:
            if select.select([self._terminal], [], [], 1)[0]:
                read = b""
                with suppress(OSError):  # Linux's way to say that nobody holds the other end any more
                    read = os.read(self._terminal, 65536)
                if not read:
                    yield rest
                    return
                *whole, rest = re.split(r"(?<=[\r\n])", rest + decode(read))
                yield from whole
            if self.on_terminal and self.installed:  # uv has no bar for what follows
                print(f"\r  {self.now}, {self._elapsed()}", end=_CLEAR, flush=True)
            if not self.on_terminal and time.monotonic() - told >= _EVERY_SECONDS:
                told = time.monotonic()
                print(f"  {self.now or 'at it'}, {self._elapsed()}", flush=True)

    def _remember(self, text: str) -> None:
        if counted := _COUNTED.search(text):
            doing, done, of, put, all_ = counted.groups()
            self.now = f"downloaded {done} of {of} packages" if doing else f"installed {put} of {all_} packages"
        elif found := _INSTALLED.search(text):
            self.installed = found[0]
            self.now = f"{found[0].lower()}, compiling them"
        elif text and text not in self._said[-1:]:
            self._said.append(text)

    def _elapsed(self) -> str:
        minutes, seconds = divmod(round(time.monotonic() - self.started), 60)
        return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


if __name__ == "__main__":
    sys.exit(Step(sys.argv[1], sys.argv[2:]).run())
