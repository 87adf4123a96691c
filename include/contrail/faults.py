"""What tells a fault of the machine, of a service or of a database: numbers and words, in one place for all who look.

``adapters.machine_errors`` makes Contrail's own errors of them. What a library's error means elsewhere does not belong here.
"""

import errno
import re
import socket
import ssl

NO_ANSWER = (
    errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH,
    errno.EHOSTDOWN, errno.ENETDOWN, errno.ENETRESET, errno.ENOTCONN,
)  # fmt: skip
# What Postgres's own client says of a server that restarts, or of a connection that was cut. It has no codes for these.
POSTGRES_AWAY = (
    "could not connect",
    "connection to server",
    "connection already closed",
    "connection timed out",
    "closed the connection",
    "connection has been closed",
    "could not receive data",
    "terminating connection",
    "the database system is",
)
POSTGRES_WITHOUT_NAME = "could not translate host name"
# It says so of a login that it refuses, also in the words of ``POSTGRES_AWAY``.
POSTGRES_REFUSED = re.compile(
    "authentication failed|no pg_hba.conf entry|permission denied|(role|database) .* does not exist"
)
# Codes, or what they begin with, as the system's numbers, and as words that some servers translate.
POSTGRES_NUMBERS = {"53100": errno.ENOSPC, "53200": errno.ENOMEM, "58030": errno.EIO, "25006": errno.EROFS}
POSTGRES_WORDS = {
    "53300": "too many clients already", "57P": "terminating connection", "08": "closed the connection",
    "40": "could not serialize access", "55P03": "lock timeout", "42501": "permission denied",
}  # fmt: skip
# Of reading a file. Memory is none of them, because a damaged file may ask for any amount.
_OF_READING = frozenset((
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EBUSY, errno.ESTALE,
    *NO_ANSWER,
))  # fmt: skip
# Of object stores. Their errors are not the system's own.
_CLIENTS = ("requests", "urllib3", "aiohttp", "gcsfs", "s3fs", "google", "botocore")
_NOT_FOUND = 404


def is_of_a_store(error: BaseException) -> bool:
    """Say whether a client of an object store raised an error of its own."""
    return type(error).__module__.split(".")[0] in _CLIENTS


def is_fault(error: BaseException) -> bool:
    """Say whether an error is of the machine or of a store, so that it tells nothing of the file that was read.

    A file that is missing, also in a store, or that this user may not open, is none.
    """
    if isinstance(error, FileNotFoundError):
        return False
    if is_of_a_store(error):
        return _status(error) != _NOT_FOUND
    # The numbers of the last two are their own, and some are those of other faults.
    if isinstance(error, TimeoutError | ConnectionError | socket.gaierror | ssl.SSLError):
        return True
    return getattr(error, "errno", None) in _OF_READING


def stops_a_run(error: BaseException) -> bool:
    """Say whether a fault is of more than the file that was read, so that a run of many files stops.

    A part of a disk that cannot be read may be of this file alone. The other files go on.
    """
    return is_fault(error) and getattr(error, "errno", None) != errno.EIO


def _status(error: BaseException) -> int | None:
    """The HTTP status that a store's client tells, each in its own way; None where there was no answer."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore's
        return response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    told = (getattr(error, "code", None), getattr(error, "status", None), getattr(response, "status_code", None))
    return next((int(one) for one in told if isinstance(one, int)), None)


def postgres_code(error: BaseException) -> str:
    """Postgres's code of an error, of its client or of SQLAlchemy over it; empty where there is none."""
    return str(getattr(getattr(error, "orig", error), "pgcode", None) or "")


def postgres_text(error: BaseException) -> str:
    """What an error says, with the words of its code."""
    code = postgres_code(error)
    return "\n".join([str(error), *(words for begin, words in POSTGRES_WORDS.items() if code.startswith(begin))])


def postgres_is_away(error: BaseException) -> bool:
    """Say whether a database did not answer, or ended the connection. It may have done what it was asked for."""
    text = postgres_text(error)
    return any(word in text for word in (*POSTGRES_AWAY, POSTGRES_WITHOUT_NAME)) and not POSTGRES_REFUSED.search(text)
