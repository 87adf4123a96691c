"""Who reviews a pipeline, as a file CODEOWNERS says."""

import pytest

from contrail.operations.score_card.model import _reviewers


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/include/pipelines/ @reviewers", "@reviewers"),
        ("* @all", "@all"),
        ("include/ ann@example.org", "ann@example.org"),
        ("/include/pipelines/toy/** @ann @org/team # both", "@ann and @org/team"),
        ("* @all\n/include/pipelines/ @reviewers", "@reviewers"),
        ("", ""),
        ("# /include/pipelines/ @nobody-yet", ""),
        ("/include/pipelines/", ""),
        ("/include/pipelines/ TODO", ""),
        ("* @all\n/include/pipelines/", ""),
        ("/include/pipelines/other/ @reviewers\n/docs/pipelines.md @writers", ""),
    ],
)
def test_only_a_line_that_fits_the_folder_and_names_somebody_asks_for_a_review(text: str, found: str) -> None:
    assert _reviewers(text, "toy") == found
