"""The page on the score card has each test as the command has it."""

from tests.conftest import PROJECT

from contrail.operations.score_card import data, infrastructure, model, monitoring


def test_the_page_has_each_test_with_its_question_and_what_gives_points() -> None:
    page = (PROJECT / "docs" / "score-card.md").read_text()
    for room in (data, model, infrastructure, monitoring):
        assert f"### {room.NAME}: " in page
        for test in room.TESTS:
            assert f"| **{test.number} {test.name}.** {test.asks} | {test.half} | {test.whole} | " in page
