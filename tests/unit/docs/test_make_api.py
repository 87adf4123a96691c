"""docs/api.md is what the docstrings of the public API say."""

from docs.make_api import PAGE, page

from contrail import api


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python docs/make_api.py"


def test_the_page_has_every_name_with_an_example() -> None:
    parts = {part.partition("`")[0]: part for part in page().split("\n## `")[1:]}
    assert parts.keys() == set(api.__all__)
    assert all("```pycon\n>>> " in part for name, part in parts.items() if name != "UPath")
