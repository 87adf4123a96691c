import pytest

from contrail.config.pipeline import pipeline_names
from contrail.config.readme import read_sections
from contrail.config.settings import settings


def written(folder, text: str):
    (folder / "README.md").write_text(text)
    return read_sections(folder)


def test_a_section_ends_at_the_next_heading_of_its_level_and_keeps_those_below(tmp_path):
    found = written(
        tmp_path,
        "# P\n\n## Intended use\n\nFor crews.\n\n### Not\n\nfor prices\n\n## Limits ##\n\n- one\n\n## Run\n\nx",
    )
    assert found.intended_use == "For crews.\n\n### Not\n\nfor prices"
    assert found.limits == "- one"
    assert found.missing == ()


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("", ("Intended use", "Limits")),
        ("# P\nwords", ("Intended use", "Limits")),
        ("## INTENDED USE\nfor crews", ("Limits",)),
        ("## Intended use\n\n## Limits\nsome", ("Intended use",)),
        ("```\n## Limits\nin a fence\n```\n## Intended use\nfor crews", ("Limits",)),
        ("## Intended use\n<!-- Who reads it?\n\n## Limits\n-->\n## Limits\nsome", ("Intended use",)),
        ("## Intended users\nfor crews\n## No Limits\nx", ("Intended use", "Limits")),
    ],
)
def test_what_is_missing_is_named(tmp_path, text, missing):
    assert written(tmp_path, text).missing == missing


def test_without_a_readme_both_are_missing(tmp_path):
    assert read_sections(tmp_path).missing == ("Intended use", "Limits")


def test_the_shipped_pipelines_say_both(home):
    assert {
        name: read_sections(settings().pipelines_path / name).missing for name in pipeline_names()
    } == dict.fromkeys(pipeline_names(), ())
