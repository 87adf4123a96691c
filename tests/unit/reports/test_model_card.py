from dataclasses import replace
from html.parser import HTMLParser

import pytest
from tests.unit.reports.cards import BY_NAME, CARD, DEPENDENCES, EVIL, FINDINGS, MOVE, RECORDS
from tests.unit.reports.hostile import HOSTILE, RUN

from contrail.reports.model_card import model_card_text, render_model_card

SECTIONS = [
    "Purpose", "Known limits", "Data", "Quality", "Quality by segment", "Calibration", "Explanations", "Fairness",
    "Features", "Decision and approvals", "Cost and carbon of the training", "Training and provenance",
]  # fmt: skip
# What a page of ours is made of. A tag that data brought along would be another, or have another attribute.
TAGS = {
    "html", "head", "meta", "title", "style", "body", "main", "section", "h1", "h2", "h3", "p", "nav", "a", "ul", "ol",
    "li", "dl", "div", "dt", "dd", "table", "tr", "th", "td", "code", "details", "summary", "figure", "figcaption", "svg",
    "line", "rect", "circle", "polyline", "text", "span", "i",
}  # fmt: skip


class Page(HTMLParser):
    """The tags, attributes, texts and headings of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.headings, self.texts, self._in = set(), [], [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes
        self._in = tag

    def handle_data(self, data):
        self.texts.append(data)
        if self._in == "h2":
            self.headings.append(data)
            self._in = ""


def test_every_part_is_there_in_both_forms():
    page, text = Page(render_model_card(RECORDS)), model_card_text(RECORDS)
    assert page.headings == SECTIONS
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == SECTIONS


def test_hostile_texts_stay_texts_in_the_page():
    page = Page(render_model_card(RECORDS))
    assert page.tags <= TAGS
    assert not any(
        name.startswith("on") or (value or "").lower().startswith("javascript") for name, value in page.attributes
    )
    assert all(name in ("href",) or "<" not in name for name, _ in page.attributes)
    said = "\n".join(page.texts)
    assert all(text in said for text in HOSTILE), "they are shown as they are"


def test_hostile_texts_are_no_marks_in_markdown():
    text = model_card_text(RECORDS)
    assert "<" not in text.replace("\\<", "").replace("&lt;", "")
    assert "](" not in text.replace("\\](", "")
    assert RUN in text
    for table in (part for part in text.split("\n\n") if part.startswith("| ")):
        assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1


@pytest.mark.parametrize("name", ["a | b", "line\nbreak", "\x1b[31mred", "\u202egnp", "# head", "`code`", "**bold**"])
def test_a_strange_name_breaks_no_table_and_reaches_no_terminal(name):
    group = BY_NAME.groups[0].model_copy(update={"name": name})
    column = BY_NAME.model_copy(update={"groups": (group,), "left_out": 0})
    text = model_card_text(
        replace(RECORDS, findings=FINDINGS.model_copy(update={"segments": (column,), "fairness": ()}))
    )
    assert not {"\x1b", "\u202e"} & set(text)
    (row,) = [line for line in text.splitlines() if line.startswith("| ") and "0.6000 (0.4000 to 0.7000)" in line]
    (head,) = [line for line in text.splitlines() if line.startswith("| depot | Rows | Mean label")]
    assert row.replace("\\|", "").count("|") == head.count("|")


def test_the_same_records_give_the_same_bytes():
    assert render_model_card(RECORDS) == render_model_card(RECORDS)
    assert model_card_text(RECORDS) == model_card_text(RECORDS)


def test_the_page_asks_no_network():
    page = render_model_card(RECORDS)
    assert "default-src 'none'" in page
    assert not any(name in ("src", "srcset") for name, _ in Page(page).attributes)


def test_a_number_that_surely_differs_stands_out_with_its_interval():
    page = render_model_card(RECORDS)
    assert page.count('class="n loud"') == 6, "the six differences of the first group"
    assert "are flagged more often than all others, by 20.0 points (10.0 to 30.0)" in page


def test_the_limits_come_from_the_readme_and_from_the_records():
    text = model_card_text(replace(RECORDS, decision=None))
    limits = text.partition("## Known limits")[2].partition("## Data")[0]
    assert "Not &lt;/script>" in limits
    for words in (
        "none was in March, April",
        "has not seen 2024-02-09",
        "No gate has judged it",
        "no better than chance where depot is",
        "in 3 groups of depot (40 of 360 rows)",
        "1 of 3 features are in no tree: distance",
    ):
        assert words in limits


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "Champion for days from 2024-03-10 on"),
        ({"moves": (MOVE, replace(MOVE, version_before="7", version_after="8"))}, "It was champion once"),
        ({"moves": (), "decision": None}, "A candidate that no gate has judged"),
        ({"moves": (), "decision": RECORDS.decision.model_copy(update={"verdict": "waits"})}, "waits for an approver"),
        ({"moves": (), "decision": RECORDS.decision.model_copy(update={"verdict": "refused"})}, "The gate refused it"),
    ],
)
def test_the_first_sentence_says_where_the_version_stands(changes, words):
    assert words in model_card_text(replace(RECORDS, **changes)).split("\n\n")[1]


def test_an_old_version_says_what_is_missing_and_shows_the_rest():
    old = replace(RECORDS, findings=None, cost=None, request=None, landed_md5="")
    page, text = Page(render_model_card(old)), model_card_text(old)
    assert page.headings == [name for name in SECTIONS if name not in SECTIONS[4:8]]
    assert "registered before Contrail recorded findings" in text
    assert "contrail train -p toy" in text
    assert "Its training recorded no time." in text
    assert "| depot | category | Depot code. | 90.0 % |" in text, "as the pipeline says today"
    unjudged = Page(render_model_card(replace(old, decision=None, moves=())))
    assert "Quality" not in unjudged.headings


def test_a_pipeline_without_sensitive_columns_says_how_to_name_them():
    text = model_card_text(replace(RECORDS, findings=FINDINGS.model_copy(update={"fairness": ()})))
    assert "declares no column as sensitive" in text.partition("## Fairness")[2]


def test_a_readme_that_said_nothing_is_a_warning():
    silent = FINDINGS.model_copy(
        update={"readme": FINDINGS.readme.model_copy(update={"limits": "", "intended_use": ""})}
    )
    page = render_model_card(replace(RECORDS, findings=silent))
    assert page.count("said nothing under “## ") == 2


def test_a_regression_has_no_rates():
    group = BY_NAME.groups[0].model_copy(
        update={"measures": dict.fromkeys(("label_mean", "bias", "mae"), BY_NAME.groups[0].measures["auc"])}
    )
    column = BY_NAME.model_copy(update={"groups": (group,), "column": "size"})
    checked = FINDINGS.checked.model_copy(update={"metrics": {"rmse": FINDINGS.checked.metrics["auc"]}})
    found = FINDINGS.model_copy(update={"threshold": None, "checked": checked, "segments": (), "fairness": (column,)})
    text = model_card_text(replace(RECORDS, card=CARD.model_copy(update={"task": "regression"}), findings=found))
    assert "a number; the label is" in text
    assert "Mean absolute error" in text
    assert "flagged" not in text.partition("## Fairness")[2].partition("## Features")[0].lower()
    assert "in units of the label" in text


def test_a_flat_dependence_and_one_of_a_single_value_are_drawn():
    flat = DEPENDENCES[0].model_copy(
        update={"points": (1.0,), "mean": (0.0,), "low": (0.0,), "high": (0.0,), "lines": ((0.0,),), "missing": None}
    )
    shown = FINDINGS.explanations.model_copy(
        update={"dependences": (flat,), "effects": FINDINGS.explanations.effects[:1]}
    )
    page = render_model_card(replace(RECORDS, findings=FINDINGS.model_copy(update={"explanations": shown})))
    assert "nan" not in page.lower().replace("provenance", "")


def test_energy_is_marked_as_an_estimate_with_its_sources():
    text = model_card_text(RECORDS)
    cost = text.partition("## Cost and carbon")[2]
    assert "Energy, estimated: 0.06 Wh" in cost
    assert "an estimate, not a measurement" in cost
    assert "Green Algorithms" in cost
    assert "IEA" in cost


def test_who_asked_approved_and_moved_is_named():
    decision = model_card_text(RECORDS).partition("## Decision and approvals")[2]
    assert "requested by ann" in decision
    assert "approved by ann" in decision
    assert "| champion | – | 7 | 2024-03-10 | 2024-03-10 06:00 |" in decision
    assert EVIL not in decision
