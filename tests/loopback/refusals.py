"""What the services say to a request that they do not take, and how they list what a filter asks for."""

import re
import shlex
from pathlib import Path
from typing import Any

import grpc

LABEL = re.compile(r"[a-z0-9_-]{0,63}")


class RefusedError(Exception):
    """A request that the service would refuse: a gRPC code and why."""

    def __init__(self, code: grpc.StatusCode, why: str) -> None:
        super().__init__(why)
        self.code = code


def denied(why: str) -> RefusedError:
    return RefusedError(grpc.StatusCode.PERMISSION_DENIED, why)


def invalid(why: str) -> RefusedError:
    return RefusedError(grpc.StatusCode.INVALID_ARGUMENT, why)


def not_running(name: str) -> RefusedError:
    return RefusedError(grpc.StatusCode.FAILED_PRECONDITION, f"{name} does not run")


def labelled(jobs: list[Any], wanted: str) -> list[Any]:
    """Those that a filter asks for: by one label, or all."""
    if not wanted:
        return jobs
    known = re.fullmatch(r'labels\.([a-z0-9_]+)="([^"]*)"', wanted)
    if not known:
        raise invalid(f"this filter is not known here: {shlex.quote(wanted)}")
    return [job for job in jobs if job.labels.get(known[1]) == known[2]]


def no_quota(folder: Path, machine_type: str, *, spot: bool) -> Path:
    """While this file is there, the project has no quota for a machine, on spot or on demand."""
    return folder / f"no-quota-{machine_type}-{'SPOT' if spot else 'STANDARD'}"
