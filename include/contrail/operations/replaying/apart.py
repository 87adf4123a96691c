"""SQL that gives mended rows, asked in a process of its own: ``python -m contrail.operations.replaying.apart``.

Its text comes from a person, and from the page it comes into Airflow's API server, which serves others too. So the operating
system bounds the memory and the time of the process that asks; see ``lake.bounds``. What is asked belongs to ``given``.
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from contrail.adapters.google_errors import google_errors
from contrail.adapters.machine_errors import machine_errors, quiet_libraries
from contrail.config.pipeline import Pipeline
from contrail.config.settings import settings
from contrail.config.spec import PipelineSpec
from contrail.errors import ContrailError, DataError, EngineError, SpecError
from contrail.lake.bounds import GRACE_SECONDS
from contrail.lake.lake import Lake
from contrail.lake.sql import SECONDS
from contrail.operations.replaying.given import Given, from_sql

_KINDS = {kind.exit_code: kind for kind in (SpecError, DataError, EngineError)}
_PACKAGES = Path(__file__).parents[3]
_START = 120.0  # seconds for what comes before the question: libraries, catalog, views
_LAST = 300  # characters of what a process said last that ended by itself
_NO_MEMORY = (
    "Often no memory was left: see the kernel's log (dmesg). Free memory, set CONTRAIL_MEMORY_LIMIT lower, or mend fewer rows at "
    "a time."
)


def ask_apart(
    pipeline: Pipeline, table: str, sql: str, folder: Path, personal: bool, seconds: float = SECONDS
) -> Given:
    """Ask for mended rows as ``from_sql`` does, in a process of its own. The limit of time is the same at every door.

    Raises:
        SpecError: as ``from_sql``, or for a question that does not stop in time.
        DataError: as ``from_sql``.
        EngineError: if the machine has too little memory for it, or ended the process.
    """
    asked = {
        "pipeline": str(pipeline.folder), "spec": pipeline.spec.model_dump_json(), "table": table, "sql": sql,
        "folder": str(folder), "personal": personal, "seconds": seconds,
    }  # fmt: skip
    command = [sys.executable, "-m", "contrail.operations.replaying.apart"]
    found_at = [str(_PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")])]  # the same code as this process
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(found_at)}
    try:
        done = subprocess.run(
            command, input=json.dumps(asked), env=environment, capture_output=True, text=True, check=False,
            timeout=seconds + GRACE_SECONDS + _START,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            "the process that asked the SQL did not come to its question. Nothing was mended. Try again."
        ) from error
    if done.returncode == 0:
        found = json.loads(done.stdout)
        return Given(**{**found, "path": Path(found["path"]), "columns": tuple(found["columns"])})
    raise _as_ours(done.returncode, done.stderr.strip())


def _as_ours(code: int, said: str) -> ContrailError:
    """The error of a process that ended with this code, or by a signal, after these words."""
    if said and (kind := _KINDS.get(code)) is not None:
        return kind(said)
    who = "the process that asked the SQL"
    if code < 0:
        # Python has names of few real-time signals.
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return EngineError(f"{who} was ended by {name}. Nothing was mended. {_NO_MEMORY}")
    last = said.splitlines()[-1][:_LAST] if said else "nothing"
    remedy = _NO_MEMORY if last.startswith("MemoryError") else "Try again. If it ends so again, report it."
    return EngineError(f"{who} ended with {code}. Nothing was mended. {remedy} It said last: {last}")


def main() -> None:
    """The process: the question from standard input, what it gave to standard output, an error to standard error."""
    asked = json.load(sys.stdin)
    loaded = Pipeline(Path(asked["pipeline"]), PipelineSpec.model_validate_json(asked["spec"]))
    folder, personal = Path(asked["folder"]), asked["personal"]
    quiet_libraries()
    try:
        with machine_errors(), google_errors():
            found = from_sql(
                Lake(settings(), loaded.name), loaded, asked["table"], asked["sql"], folder, personal, asked["seconds"]
            )
    except ContrailError as error:
        sys.stderr.write(str(error))
        raise SystemExit(error.exit_code) from error
    sys.stdout.write(json.dumps({**asdict(found), "path": str(found.path)}))


if __name__ == "__main__":
    main()
