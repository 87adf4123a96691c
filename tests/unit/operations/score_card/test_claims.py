"""Points follow from claims by one rule."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from contrail.errors import DataError
from contrail.operations.score_card.claims import Claim, RubricTest, points, scored


def claim(holds: bool, needed: str, remedy: str = "") -> Claim:
    return Claim.model_validate(
        {"holds": holds, "says": "so", "needed": needed, "how": "run", "of": "project", "remedy": remedy}
    )


claims = st.lists(st.builds(claim, st.booleans(), st.sampled_from(["half", "whole"])), max_size=6)


@given(claims, st.integers(0, 5))
def test_a_claim_that_no_longer_holds_never_raises_the_points(found: list[Claim], place: int) -> None:
    lost = [one.model_copy(update={"holds": False}) if n == place else one for n, one in enumerate(found)]
    assert points(lost) <= points(found)
    if place < len(found) and points(found) == 1:
        assert points(lost) == (0 if found[place].needed == "half" else 0.5)


@given(claims)
def test_there_is_no_point_without_a_claim_for_a_half(found: list[Claim]) -> None:
    assert points([one for one in found if one.needed == "whole"]) == 0


def test_what_cannot_be_looked_at_gives_nothing_and_says_what_to_do() -> None:
    def look(_: object) -> Iterator[Claim]:
        yield claim(True, "half")
        raise DataError("it is damaged. Run: contrail verify\nat length")

    found = scored(RubricTest("9.9", "name", "asks?", "half", "whole", look), None)  # type: ignore[arg-type]
    assert (found.points, found.missing) == (0, "it is damaged. Run: contrail verify")


def test_only_what_gives_the_next_half_is_asked_for() -> None:
    def look(_: object) -> Iterator[Claim]:
        yield claim(False, "half", "first")
        yield claim(False, "whole", "then")

    assert scored(RubricTest("9.9", "name", "asks?", "half", "whole", look), None).raises == ("first",)  # type: ignore[arg-type]


def test_what_holds_has_no_remedy_whose_words_would_have_a_gap() -> None:
    assert claim(True, "half", f"give {', '.join([])} a contract").remedy == ""
    assert claim(False, "half", "give parcels a contract").remedy
