"""Files that people ask for: a place that cannot be written is refused before any work, in the same words everywhere."""

import pytest
from tests.commands import contrail

from contrail.cli import printing
from contrail.errors import SpecError

_ASKED = {
    "tune": "tune -p toy --from 2024-01-01 --to 2024-02-09 --html",
    "inspect-features": "inspect-features -p toy --html",
    "why": "why 2024-02-01,1 -p toy --html",
    "model-card": "model-card -p toy --html",
    "score-card": "score-card -p toy --output",
    "sbom": "sbom -p toy --output",
}


@pytest.mark.parametrize("asked", _ASKED.values(), ids=_ASKED)
def test_a_command_refuses_a_folder_before_any_work(toy, monkeypatch, capsys, tmp_path, asked) -> None:
    # No table and no version is there, so any work would end in another error.
    assert contrail(monkeypatch, f"contrail {asked} {tmp_path}") == 2
    told = capsys.readouterr()
    assert f"{asked.split()[-1]} {tmp_path} cannot be written: it is a folder." in " ".join(told.err.split())
    assert not told.out


def test_a_place_is_checked_without_a_trace(tmp_path) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    printing.check_asked(None, "--html")
    printing.check_asked(file, "--html")
    printing.check_asked(tmp_path / "new.html", "--html")
    printing.check_asked(tmp_path / "a" / "b" / "new.html", "--output", in_new_folder=True)
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
    assert file.read_text() == "kept"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("nowhere/page.html", "there is no folder .*nowhere"),
        ("file/page.html", "there is no folder .*file"),
        ("/proc/page.html", "No such file or directory|Permission denied|Operation not permitted|Read-only"),
        ("a\0b/page.html", "there is no folder"),
    ],
)
def test_what_is_wrong_is_said_without_a_temporary_name(tmp_path, place, said) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpecError, match=f"--html .* cannot be written: ({said})") as error:
        printing.check_asked(tmp_path / place, "--html")
    assert "tmp" not in str(error.value).replace(str(tmp_path), "")
