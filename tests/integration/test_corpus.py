"""Some of the kinds of bad files of ``make corpus``, in three formats: each on its own day, with good days between."""

from pathlib import Path

import pytest
from tests.corpus.forms import FORMS
from tests.corpus.kind import Kind
from tests.corpus.table import kinds
from tests.corpus.together import run, sample

from contrail.adapters import landed_parquet

pytestmark = pytest.mark.slow
_SOME = 28


def kinds_of(form: str) -> list[Kind]:
    return [kind for kind in kinds().values() if form in kind.forms and not kind.dear and not kind.alone]


@pytest.mark.parametrize(("form", "seed"), [("csv.gz", 1), ("jsonl.zst", 2), ("parquet", 3)])
def test_no_kind_of_bad_file_gets_through(tmp_path: Path, form: str, seed: int) -> None:
    told = run(tmp_path, form, sample(kinds_of(form), _SOME, seed))
    assert [(one.kind.name, one.wrong) for one in told.judged if one.wrong] == []
    assert told.wrong == []
    assert len(told.judged) > _SOME - 5


def test_encrypted_parquet_does_not_end_the_process(tmp_path: Path) -> None:
    """To look at an encrypted column in the footer ends the process: Arrow's C++ throws where Python cannot catch it."""
    told = run(tmp_path, "parquet", [kinds()["encrypted columns"], kinds()["an encrypted footer"]])
    assert [one.wrong for one in told.judged] == [[], []]


def test_a_reader_that_takes_anything_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landed_parquet, "_check_equal", lambda *_: None)
    (one,) = run(tmp_path, "parquet", [kinds()["fewer rows in the footer"]]).judged
    assert one.wrong


def test_there_are_enough_kinds_of_every_format() -> None:
    assert len(kinds()) > 300
    assert min(sum(form in kind.forms for kind in kinds().values()) for form in FORMS) > 120
