import re

from contrail.reports.feature_pictures import Row, bars, intervals

ROWS = [Row("wide", 0.5, 0.1, 0.9, "dot"), Row("<b>" * 20, -0.1, -0.2, 0.0, "l3")]


def places(drawn, pattern):
    return [float(found) for found in re.findall(pattern, str(drawn))]


def test_points_lie_in_their_intervals_and_names_are_text():
    drawn = intervals(ROWS, "loss")
    assert "<b>" not in drawn
    assert "…" in drawn
    wide, narrow = places(drawn, r'<circle class="\w+" cx="([\d.]+)"')
    lines = re.findall(r'whisker" points="([\d.]+),[\d.]+ ([\d.]+),', str(drawn))
    assert [float(low) < point < float(high) for (low, high), point in zip(lines, (wide, narrow), strict=True)] == [
        True,
        True,
    ]
    assert narrow < places(drawn, r'<line class="ideal" x1="([\d.]+)"')[0] < wide, "zero lies between them"


def test_bars_are_as_long_as_their_values():
    drawn = bars([Row("a", 2.0, 1.9, 2.1), Row("b", 1.0, 1.0, 1.0), Row("none", 0.0, 0.0, 0.0)], "seconds")
    first, second, none = places(drawn, r'<rect [^>]*width="([\d.]+)"')
    assert first / second == 2.0
    assert none == 0


def test_nothing_at_all_is_drawn_without_an_error():
    assert "<svg" in bars([Row("none", 0.0, 0.0, 0.0)], "seconds")
    assert "<svg" in intervals([Row("none", 0.0, 0.0, 0.0)], "loss")
    assert "<svg" in bars([], "seconds")
