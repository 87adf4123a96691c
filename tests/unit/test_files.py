"""Files that are written whole: a reader sees all of one, or none."""

from pathlib import Path

import pytest
from upath import UPath

from contrail.files import written_whole


@pytest.mark.parametrize("place", ["disk", "memory://written-whole"])
def test_a_file_of_any_size_appears_whole_or_not_at_all(tmp_path: Path, place: str) -> None:
    path = (UPath(tmp_path) if place == "disk" else UPath(place)) / "folder" / "name.bin"
    with written_whole(path) as stream:
        stream.write(b"first")
        assert not path.exists()
    with pytest.raises(ValueError, match="broken"), written_whole(path) as stream:
        stream.write(b"second")
        raise ValueError("broken")
    assert path.read_bytes() == b"first" and [each.name for each in path.parent.iterdir()] == ["name.bin"]
