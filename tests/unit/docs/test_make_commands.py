"""docs/commands.md says what the commands' own help says."""

from docs.make_commands import PAGE, page


def test_the_page_is_what_the_commands_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python docs/make_commands.py"


def test_a_choice_a_default_and_an_example_are_on_the_page() -> None:
    assert "One of `approved`, `refused`, `awaited`, `none`. | approved, by you |" in page()
    assert (
        "| `--register`, `--no-register` | Put the model into the registry as a candidate. | `--register` |" in page()
    )
    assert "contrail late -p flight_delay --on 2013-11-03\n```" in page()
