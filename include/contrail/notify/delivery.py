"""Where messages to people are kept whoever sends them: a file in Contrail's home, and a log of Cloud Logging.

The file is ``notifications.jsonl``, a line a message. The log is the one that the environment names; alerts are made of
its entries. Channels that need Airflow's connections (Slack, mail) are the notifiers'.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from contrail.config.settings import settings
from contrail.errors import ContrailError
from contrail.notify.messages import Kind, Message, of_failure

_log = logging.getLogger(__name__)
Channel = tuple[str, Callable[[Message], bool]]


def deliver(message: Message, more: Iterable[Channel] = ()) -> list[str]:
    """Hand a message to the file, to the log and to ``more`` channels; the names of those that took it."""
    taken = []
    for name, send in (("file", _to_file), ("cloud log", _to_cloud_log), *more):
        try:
            if send(message):
                taken.append(name)
        except Exception as error:  # a channel's trouble is never the work's
            _log.warning("The message could not be sent to %s: %s", name, error)
    return taken


@contextmanager
def telling_of_failure(where: str) -> Iterator[None]:
    """Tell of an error that ends a command of a person at a terminal; the person sees it too."""
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
        file.write(json.dumps(line, ensure_ascii=False) + "\n")  # one write: lines of two tasks do not mix
    return True


def _to_cloud_log(message: Message) -> bool:
    trouble = message.kind in (Kind.failure, Kind.refusal, Kind.deadline)
    return log_entry(message.as_dict(), "ERROR" if trouble else "NOTICE")


def log_entry(entry: dict[str, str], severity: str = "INFO") -> bool:
    """Write an entry to the environment's log of Cloud Logging; False where it names none."""
    log = settings().cloud_log
    if log is None:
        return False
    from google.cloud import logging as cloud

    client: Any = cloud.Client
    # Else the client names the machine that it finds itself on, and the alert of a missing day would look elsewhere.
    everywhere = cloud.Resource(type="global", labels={"project_id": log.project})
    client(project=log.project).logger(log.name, resource=everywhere).log_struct(entry, severity=severity)
    return True
