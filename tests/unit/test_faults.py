"""What tells a fault of the machine: the same words and numbers for all who look."""

import errno
import os
import socket
import ssl
from types import SimpleNamespace
from typing import Any

import aiohttp
import psycopg2
import pytest
import requests
from gcsfs.retry import HttpError
from google.api_core import exceptions as google
from sqlalchemy.exc import OperationalError

from contrail import faults
from contrail.adapters.machine_errors import as_ours
from contrail.errors import EngineError
from contrail.lake.sql_catalog import is_away


@pytest.mark.parametrize("words", [*faults.POSTGRES_AWAY, faults.POSTGRES_WITHOUT_NAME])
def test_whoever_waits_for_a_database_and_whoever_tells_of_it_know_the_same_words(words: str) -> None:
    error = OperationalError("UPDATE", {}, psycopg2.OperationalError(f"{words} …"))
    assert is_away(error)
    assert isinstance(as_ours(error), EngineError)


def test_words_of_a_statement_are_no_answer_of_the_database() -> None:
    said = psycopg2.OperationalError("could not extend file")
    assert not is_away(OperationalError("SELECT 'terminating connection'", {}, said))


def _aiohttp(status: int) -> Exception:
    asked: Any = SimpleNamespace(real_url="https://store/x")
    return aiohttp.ClientResponseError(asked, (), status=status)


def _requests(status: int) -> Exception:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(response=response)


def _s3(status: int) -> Exception:
    kind = type("ClientError", (Exception,), {"__module__": "botocore.exceptions"})
    error: Exception = kind("GetObject")
    error.response = {"ResponseMetadata": {"HTTPStatusCode": status}}  # type: ignore[attr-defined]
    return error


def _number(number: int) -> Exception:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        *((_number(each), True) for each in (errno.ENOSPC, errno.ESTALE, errno.ENETDOWN, errno.ENOTCONN)),
        (TimeoutError(), True),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), True),
        (ssl.SSLError(1, "bad record mac"), True),
        (requests.ConnectionError(), True),
        (HttpError({"code": 429, "message": "slow down"}), True),
        *((made(503), True) for made in (_aiohttp, _requests, _s3)),
        *((made(404), False) for made in (_aiohttp, _requests, _s3)),
        (HttpError({"code": 404, "message": "no such object"}), False),
        (google.ServiceUnavailable("later"), True),
        (google.NotFound("no such object"), False),
        (FileNotFoundError("gone"), False),
        (_number(errno.ENOENT), False),
        (_number(errno.EACCES), False),
        (ValueError("no number"), False),
    ],
    ids=repr,
)
def test_a_fault_says_nothing_of_the_file_and_a_missing_file_is_none(error: Exception, fault: bool) -> None:
    assert faults.is_fault(error) is fault
