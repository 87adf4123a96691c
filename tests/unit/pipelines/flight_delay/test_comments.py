"""Settings are chosen on January to September. October to December judge the choice, and must not make it.

The rule: a comment gives its reason first. What October to December showed may follow, behind ``Seen later:``. So a reader
knows which figures made the choice.
"""

import re
from collections.abc import Iterator

import pytest
from tests.conftest import PROJECT

FILE = PROJECT / "include" / "pipelines" / "flight_delay" / "pipeline.yaml"
CHOSEN = ("train", "gate", "score", "drift", "retrain")
LATER = re.compile(
    r"\b(October|November|December|Oct|Nov|Dec|2013-1[0-2](-\d\d)?|autumn|winter|Q4|(last|fourth) quarter|Christmas"
    r"|Thanksgiving)\b",
    re.IGNORECASE,
)
SEEN = "Seen later:"


def comments(text: str) -> Iterator[tuple[int, str]]:
    """Each comment of the sections whose values are chosen, and the number of its first line."""
    section, held, start = "", list[str](), 0
    for number, line in enumerate(text.splitlines(), start=1):
        if found := re.match(r"(\w+):", line):
            section = found[1]
        said = re.search(r"(?:^|\s)#\s?(.*)$", line)
        whole = line.lstrip().startswith("#")
        if held and not whole:
            yield start, " ".join(held)
            held = []
        if section in CHOSEN and said:
            start = start if held else number
            held.append(said[1])
            if not whole:
                yield start, " ".join(held)
                held = []
    if held:
        yield start, " ".join(held)


def wrong(text: str) -> list[str]:
    """What is wrong with the comments of a spec."""
    found = []
    for line, comment in comments(text):
        reason, seen, _ = comment.partition(SEEN)
        if day := LATER.search(reason):
            found.append(f"line {line}: '{day[0]}' is in the reason; move it behind '{SEEN}'")
        if seen and not reason.strip():
            found.append(f"line {line}: what was seen later is no reason; say first why the value was chosen")
    return found


def test_no_setting_was_chosen_by_what_october_to_december_showed() -> None:
    assert wrong(FILE.read_text()) == []


def test_the_comments_of_the_spec_are_found() -> None:
    found = [comment for _, comment in comments(FILE.read_text())]
    assert len(found) >= 6
    assert any(SEEN in comment for comment in found)


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("Log loss of October to December falls by .002.", "line 3: 'October' is in the reason"),
        ("From January to August it is best. In Dec. too.", "'Dec' is in the reason"),
        ("The best on 2013-11-01 to 2013-11-30.", "'2013-11-01' is in the reason"),
        ("Best in the autumn. Seen later: nothing.", "'autumn' is in the reason"),
        ("Seen later: October was off by .01.", "line 3: what was seen later is no reason"),
    ],
)
@pytest.mark.parametrize("place", ["  # {}\n  eta: 0.1\n", "  eta: 0.1 # {}\n", "  eta: 0.1\n  # {}\n"])
def test_a_choice_by_later_days_is_refused(place: str, comment: str, said: str) -> None:
    (found,) = wrong("name: x\ntrain:\n" + place.format(comment)) or ("nothing",)
    assert said.replace("line 3", "line 4" if place.startswith("  eta: 0.1\n") else "line 3") in found


def test_a_reason_before_and_what_was_seen_after_it_are_fine() -> None:
    good = (
        "train:\n  # The best from January to September.\n  # Seen later: in December it was off by .07.\n  eta: 0.1\n"
    )
    assert wrong(good) == []
    assert wrong("tables:\n  # The source lacks all of 31 December.\n  weather: 1\n") == []
