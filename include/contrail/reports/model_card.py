"""The model card of a version: what it is for, what it was made of, how good and how fair it is, who decided, what it took.

Every sentence and number comes from a record. Only intended use and limits are a person's words, from the pipeline's README.
The same records give the same bytes. What it was made of is in ``card_made``, quality in ``card_quality``.
"""

from calendar import month_name
from collections.abc import Iterator

from contrail.config.readme import INTENDED_USE, LIMITS
from contrail.methods.calibration import worst
from contrail.reports import card_made, card_quality
from contrail.reports.card_records import CardRecords
from contrail.reports.document import (
    Block,
    Bullets,
    Cell,
    Document,
    Facts,
    Note,
    Prose,
    Rows,
    Section,
    number,
    to_html,
    to_markdown,
)

_WHOLE_YEAR = 350  # days: a window of so many has seen every season
_MOST_NAMED = 8


def render_model_card(records: CardRecords) -> str:
    """The card as a page of its own."""
    return to_html(_document(records))


def model_card_text(records: CardRecords) -> str:
    """The card in Markdown."""
    return to_markdown(_document(records))


def _document(records: CardRecords) -> Document:
    lead, tone = _standing(records)
    sections = [
        Section("Purpose", list(_purpose(records))),
        Section("Known limits", list(_limits(records))),
        Section("Data", list(card_made.data(records))),
        *card_quality.sections(records),
        Section("Features", list(card_made.features(records))),
        Section("Decision and approvals", list(_decision(records))),
        Section("Cost and carbon of the training", list(card_made.cost(records))),
        Section("Training and provenance", list(card_made.training(records))),
    ]
    return Document(f"{records.title}, version {records.version}", lead, tone, sections, "model card")


def _standing(records: CardRecords) -> tuple[str, str]:
    if since := records.champion_since:
        return f"Champion for days from {since} on: its predictions are those that people see.", "pass"
    if records.was_champion:
        return "It was champion once and is not any more. People see the predictions of another version.", "none"
    if records.decision and records.decision.verdict == "waits":
        return "It passed every other check of the gate and waits for an approver.", "waits"
    if records.decision and records.decision.verdict == "refused":
        return f"The gate refused it. {records.decision.summary}", "refused"
    return "A candidate that no gate has judged: its predictions are for nobody yet.", "none"


# ---- purpose and limits ----


def _purpose(records: CardRecords) -> Iterator[Block]:
    found, card, spec = records.findings, records.card, records.spec
    if found is None:
        yield Note(
            "This version was registered before Contrail recorded findings for a card. What its training did not record is "
            f"missing here, and descriptions are those of today. To get a version with a whole card: contrail train "
            f"-p {records.name}",
            "warn",
        )
    yield Note(found.description if found else " ".join(spec.description.split()))
    answers = "a probability" if card.task == "binary" else "a number"
    facts = [
        ("Predicts", f"{answers}; the label is {card.label}"),
        ("Mean label of the training", number(card.label_mean)),
    ]
    if card.offset is not None:
        start = f"{card.offset.weight:.0%} of the way from the mean label to {card.offset.feature}"
        facts.append(("A score starts", start))
    if found and found.threshold is not None:
        facts.append(("Flags a row", f"from a probability of {found.threshold:.4g} on"))
        if found.threshold_reason:
            facts.append(("Because", found.threshold_reason))
    yield Facts([*facts, ("Answers for it", found.owner if found else spec.owner)])
    yield from _of_readme(records, INTENDED_USE, found.readme.intended_use if found else "")


def _of_readme(records: CardRecords, heading: str, text: str) -> Iterator[Block]:
    if text:
        yield Prose(text)
    elif records.findings:
        yield Note(f"The pipeline's README said nothing under “## {heading}” when this version was trained.", "warn")


def _limits(records: CardRecords) -> Iterator[Block]:
    yield from _of_readme(records, LIMITS, records.findings.readme.limits if records.findings else "")
    found = [*_limits_of_window(records), *_limits_of_quality(records), *_limits_of_features(records)]
    if found:
        yield Note("What the records show:", "soft")
        yield Bullets(found)


def _limits_of_window(records: CardRecords) -> Iterator[str]:
    window = records.card.training.partitions
    if len(window) < _WHOLE_YEAR:
        unseen = [month_name[month] for month in range(1, 13) if month not in {day.month for day in window}]
        if unseen:
            yield f"It learned from {len(window)} days, of which none was in {_listed(unseen)}."
    if records.findings and records.findings.immature:
        yield f"It has not seen {_listed(records.findings.immature)}: not all outcomes of these days were known."
    if records.decision is None:
        yield records.decision_lost or "No gate has judged it on days after its training."


def _limits_of_quality(records: CardRecords) -> Iterator[str]:
    if records.decision and (period := worst(records.decision.calibration)):
        yield (
            f"Its predictions were off by {number(period.calibration_error)} on average from {period.start} to {period.end}, "
            "the worst period of its gate."
        )
    found = records.findings
    if found is None:
        return
    for column in found.segments:
        chance = [
            group.name for group in column.groups if (area := group.measures.get("auc")) and (area.low or 0.5) <= 0.5
        ]
        if chance:
            yield f"It may rank no better than chance where {column.column} is {_listed(chance)}."
        if column.left_out:
            rows = f"{column.left_out_rows:,} of {found.checked.rows:,} rows"
            yield f"Too few rows tell how good it is in {column.left_out} groups of {column.column} ({rows})."


def _limits_of_features(records: CardRecords) -> Iterator[str]:
    unused = [name for name, share in records.importance.items() if not share]
    if unused:
        yield f"{len(unused)} of {len(records.importance)} features are in no tree: {_listed(unused)}."


def _listed(names: "list[str] | tuple[str, ...]") -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


# ---- decision ----


def _decision(records: CardRecords) -> Iterator[Block]:
    record = records.decision
    if records.request:
        yield Note(records.request.sentence)
    if record is None:
        yield Note(
            records.decision_lost
            or f"No gate has judged it yet. To let it decide: contrail promote -p {records.name} --model {records.version}",
            "warn",
        )
    else:
        by = "The pipeline" if record.person == "pipeline" else record.person
        yield Note(
            f"{record.summary} {by} asked for the decision on {record.decided_at[:10]}"
            f"{f': {record.reason}' if record.reason else ''}."
        )
        if record.weighed:
            yield Note(record.weighed)
        against = f"version {record.champion.version}" if record.champion else "none: it was the first"
        yield Facts(
            [
                ("Verdict", record.verdict),
                ("Champion until then", against),
                ("Run", record.run_id),
                ("Asked by", record.person),
            ]
        )
        marks = {True: "✓ passed", False: "✗ failed", None: "– did not apply"}
        yield Rows(
            ["", "Check", "Found"],
            [
                [Cell(marks[check.passed], loud=check.passed is False), check.title, check.detail]
                for check in record.checks
            ],
            texts=3,
        )
        if not any(check.name == "approval" for check in record.checks):
            yield Note("Its gate asked for no person's approval: the checks alone decided.", "soft")
    moves = records.own_moves
    if moves:
        yield Rows(
            ["Alias", "From", "To", "For days from", "Moved at (UTC)", "By", "Reason"],
            [
                [
                    move.alias,
                    move.version_before or "–",
                    move.version_after,
                    str(move.effective_from),
                    f"{move.moved_at:%Y-%m-%d %H:%M}",
                    move.person,
                    move.reason,
                ]
                for move in moves
            ],
            title="Moves of its aliases",
            texts=7,
        )
