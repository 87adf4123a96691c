from pathlib import Path

import pytest

from contrail import files
from contrail.errors import EngineError
from contrail.locks import locked, place_of


def test_a_lock_has_one_holder_and_is_free_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "registry"
    with locked(path, "is making the registry"), pytest.raises(EngineError, match="another process is making the reg"):
        locked(path, "is making the registry", wait_seconds=0.1).__enter__()
    with locked(path, "is making the registry", wait_seconds=0):
        pass


def test_a_place_keeps_its_name_and_has_none_while_it_is_held(tmp_path: Path) -> None:
    with place_of(tmp_path / "one") as name, place_of(tmp_path / "two") as other, place_of(tmp_path / "one") as nobody:
        assert name and other and nobody is None
    with place_of(tmp_path / "one") as again:
        assert again == name != other


def test_a_torn_name_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"half")
    with place_of(tmp_path / "one") as name:
        assert name and len(name) == 32
    assert (tmp_path / "one").read_text() == name


def test_a_new_name_outlives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another name, the next process would take the lease of the dead one for a living one's."""
    seen: list[tuple[str, str]] = []
    monkeypatch.setattr(files, "_flush", lambda path: seen.append((path.name, path.is_file() and path.read_text())))
    for _ in range(2):
        with place_of(tmp_path / "models") as name:
            assert name
            assert seen.count(("models", name)) == 1
