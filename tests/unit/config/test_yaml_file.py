"""A YAML file that people write is read at once, or refused with its line."""

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from contrail.config.yaml_file import read_yaml
from contrail.errors import SpecError

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "pipeline.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, "line 5: aliases (*) make the file grow to more than 50,000 values"),
        ("a: &x [*x]", "line 1: aliases (*) make the file grow"),
        ("a: " + "[" * 100_000, "line 1: the file has more than 30 levels"),
        ("a: " + "{a: " * 50_000, "line 1: the file has more than 30 levels"),
        ("a: " + "x" * 2_000_000, "has 2,000,003 bytes; a file of settings has at most 1,000,000"),
        ("a:\n" + "- 1\n" * 120_000, "the file has more than 50,000 values"),
        ("a: 1\nb: 2\na: 3", "line 3: the key a is written twice, first on line 1. Keep one."),
        ("a:\n  b: 1\n  b: 2", "line 3: the key b is written twice, first on line 2"),
        ("x: 1\nno: 1", 'line 2: YAML reads the key no as bool, not as a word. Write it in quotes: "no"'),
        (
            "2024-01-01: 1",
            'line 1: YAML reads the key 2024-01-01 as timestamp, not as a word. Write it in quotes: "2024',
        ),
        ("? [a]\n: 1", "line 1: a key must be a word, not a list or a mapping"),
        ("a: 1\nb: 2024-02-31", "line 2: 2024-02-31: day is out of range for month"),
        ("a: " + "9" * 5_000, "line 1: 9999"),
        ("- 1", "the file must hold keys with values"),
        ("", "the file must hold keys with values"),
        ("a: [1", "line 1: this is not YAML: "),
        ("a:\n\tb: 1", "line 2: this is not YAML: found character that cannot start any token"),
        ("a: *q", "line 1: this is not YAML: found undefined alias"),
        ("a: !!python/object/apply:os.system [ls]", "line 1: this is not YAML: could not determine a constructor"),
        ("a: 1\n---\nb: 2", "line 2: this is not YAML: but found another document"),
        (b"a: 1\nb: \xff", "line 2: this is not UTF-8 text; save the file as UTF-8"),
        ("a: \0", "this is not YAML"),
    ],
)
def test_what_is_no_honest_file_is_refused_with_its_line(tmp_path: Path, text: str | bytes, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SpecError) as refused:
        read_yaml(path)
    assert str(path) in str(refused.value)
    assert words in str(refused.value).replace("line 2: this is not YAML: did", "line 1: this is not YAML: did")


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe, folder, loop = tmp_path / "pipe", tmp_path / "folder", tmp_path / "loop"
    os.mkfifo(pipe)
    folder.mkdir()
    loop.symlink_to(loop)
    for path, words in ((pipe, "is not a file"), (folder, "is not a file"), (loop, "cannot be read: Too many")):
        with pytest.raises(SpecError, match=words):
            read_yaml(path)
    with pytest.raises(SpecError, match="does not exist"):
        read_yaml(tmp_path / "none.yaml")


def test_each_place_has_its_line_through_merges_and_lists(tmp_path: Path) -> None:
    file = read_yaml(written(tmp_path, "x: &b {p: 1}\ny:\n  <<: *b\n  z:\n    - 1\n    - q: 2\n"))
    assert file.values["y"] == {"p": 1, "z": [1, {"q": 2}]}
    assert (file.line(("y", "z", 1, "q")), file.line(("y", "z")), file.line(("x", "missing"))) == (6, 4, 1)
    assert file.line(("nothing",)) is None


# Words that YAML 1.1 reads as something else are for the test above.
WORDS = st.from_regex(r"[a-z]{3,8}_", fullmatch=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="ascii")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.dictionaries(WORDS, VALUES, min_size=1, max_size=4))
def test_any_honest_file_reads_as_yaml_reads_it(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, object]
) -> None:
    text = yaml.safe_dump(values)
    assert read_yaml(Path("any.yaml"), text).values == yaml.safe_load(text)
