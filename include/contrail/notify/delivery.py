"""The channels of every message to people: a file in Contrail's home, and a log of Cloud Logging.

The file is ``notifications.jsonl``, with one line a message. The environment names the log, and alerts read its
entries. Channels that need Airflow's connections (Slack, mail) belong to the notifiers.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from contrail.config.settings import settings
from contrail.errors import ContrailError
from contrail.notify.messages import Kind, Message, of_failure

_log = logging.getLogger(__name__)
Channel = tuple[str, Callable[[Message], bool]]


def deliver(message: Message, more: Iterable[Channel] = ()) -> list[str]:
    """Hand a message to the file, the log and ``more`` channels. Return the names of the channels that took it."""
    taken = []
    if sandbox := settings().sandbox:
        message = replace(message, where=f"{message.where} (sandbox {sandbox})")
    for name, send in (("file", _to_file), ("cloud log", _to_cloud_log), *more):
        try:
            if send(message):
                taken.append(name)
        except Exception as error:  # a broken channel must not fail the work
            _log.warning("The message could not be sent to %s: %s", name, error)
    return taken


@contextmanager
def telling_of_failure(where: str) -> Iterator[None]:
    """Send a message about an error that ends a person's command. The person also sees it at the terminal."""
    try:
        yield
    except ContrailError as error:
        said = f"{type(error).__name__}: {error}"
        deliver(of_failure(where, error.exit_code, said, again="give the same command again"))
        raise


def _to_file(message: Message) -> bool:
    path = settings().home_path / "notifications.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **message.as_dict()}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")  # one write, so that lines of two tasks do not mix
    return True


def _to_cloud_log(message: Message) -> bool:
    trouble = message.kind in (Kind.failure, Kind.refusal, Kind.deadline)
    return log_entry(message.as_dict(), "ERROR" if trouble else "NOTICE")


def log_entry(entry: dict[str, str], severity: str = "INFO") -> bool:
    """Write an entry to the environment's log of Cloud Logging. Return False where the environment has no log."""
    log = settings().cloud_log
    if log is None:
        return False
    from google.cloud import logging as cloud

    client: Any = cloud.Client
    # By default the client names the machine that it runs on. The alert of a missing day reads the type ``global``.
    everywhere = cloud.Resource(type="global", labels={"project_id": log.project})
    client(project=log.project).logger(log.name, resource=everywhere).log_struct(entry, severity=severity)
    return True
