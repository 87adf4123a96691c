"""``contrail``, and then on stderr the peak memory of its largest process, and on request the bytes of metadata that it read.

On request the system holds the process to a number of bytes.
"""

import os
import resource
import sys
from typing import Any

from benchmarks.harness import peak_memory
from contrail.cli.app import main

DATA_BYTES = "CONTRAIL_BENCH_DATA_BYTES"
_COUNT = "CONTRAIL_BENCH_METADATA"
_METADATA = "/metadata/"


def _count() -> list[int]:
    from pyiceberg.io.pyarrow import PyArrowFile

    counted = [0]
    original = PyArrowFile.open

    def open_counted(self: PyArrowFile, *arguments: Any, **named: Any) -> Any:
        if _METADATA in self.location:
            counted[0] += len(self)
        return original(self, *arguments, **named)

    PyArrowFile.open = open_counted  # type: ignore[method-assign]
    return counted


if __name__ == "__main__":
    if most := int(os.environ.get(DATA_BYTES, 0)):
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    counted = _count() if os.environ.get(_COUNT) else None
    try:
        main()
    finally:
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024  # of the largest, a fit for example
        print(f"\npeak bytes: {max(peak_memory(), children)}", file=sys.stderr)
        if counted:
            print(f"metadata bytes: {counted[0]}", file=sys.stderr)
