"""A process that may not read every file, also where it runs as root."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_VERSION_3 = 0x20080522
_OVERRIDE = 0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: root's rights to files that nobody may read


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root without its rights to read and write every file; who is not root has none. It is of this thread and its own."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, data = _Header(_VERSION_3, 0), (_Data * 2)()
    _call(libc.capget, header, data)
    before = data[0].effective
    data[0].effective = before & ~_OVERRIDE
    _call(libc.capset, header, data)
    try:
        yield
    finally:
        data[0].effective = before
        _call(libc.capset, header, data)


def _call(function: object, header: _Header, data: object) -> None:
    if function(ctypes.byref(header), data):  # type: ignore[operator]
        raise OSError(ctypes.get_errno(), "the rights of this process cannot be changed")
