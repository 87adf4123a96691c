from benchmarks.run import ALL, RESULTS, write


def test_a_section_is_replaced_in_its_place_and_all_others_stay(tmp_path):
    results = tmp_path / "RESULTS.md"
    results.write_text("# Results\n\nWords.\n\n<!-- scoring -->\n\n## Old\n\n<!-- quarter -->\n\n## Story\n")
    write(results, "scoring", "## New\n")
    write(results, "gpu", "## On a GPU\n")
    assert results.read_text() == (
        "# Results\n\nWords.\n\n<!-- scoring -->\n\n## New\n\n<!-- gpu -->\n\n## On a GPU\n\n<!-- quarter -->\n\n## Story\n"
    )


def test_every_benchmark_has_its_section():
    assert [name for name in ALL if f"<!-- {name} -->\n\n## " in RESULTS.read_text()] == list(ALL)
