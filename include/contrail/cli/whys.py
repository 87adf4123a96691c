"""The desk of whoever asks why: one prediction back to its landed files, and what would change it."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from contrail.cli import printing
from contrail.cli.help import TABLES, command
from contrail.cli.options import DATE, SWITCH, JsonOption, PipelineOption, lake_of
from contrail.cli.printing import cell, print_json, say
from contrail.config.pipeline import Pipeline, load_pipeline
from contrail.errors import DataError, SpecError
from contrail.partitions import Partitions, parse_moment

if TYPE_CHECKING:
    from contrail.operations.one_prediction import OnePrediction
    from contrail.operations.receipt import Made
    from contrail.operations.what_if import Flips
    from contrail.operations.why import Why

app = typer.Typer()
_ROWS = 3  # source rows of a table that the terminal shows; JSON and HTML have more
_EFFECTS = 12

_KEY_HELP = "Values of the key, as UA,15,EWR, or by name: carrier=UA,flight=15."
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help=_KEY_HELP, show_default=False)]
OptionalKey = Annotated[str | None, typer.Argument(metavar="[KEY]", help=_KEY_HELP, show_default=False)]
DayOption = Annotated[
    str | None, typer.Option("--on", metavar=DATE, help="The day, YYYY-MM-DD. Default: the key's newest prediction.")
]
AsOfOption = Annotated[
    str | None,
    typer.Option(metavar="<time>", help="Answer for what readers saw at this time, UTC. Default: now."),
]
PersonalOption = Annotated[
    bool, typer.Option("--personal", metavar=SWITCH, help="Show the values of personal columns.")
]


@command(app, "why", TABLES)
def why(
    pipeline: PipelineOption,
    key: OptionalKey = None,
    on: DayOption = None,
    as_of: AsOfOption = None,
    html: Annotated[
        Path | None, typer.Option(metavar="<file>", help="Write a page with all of it.", show_default=False)
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(metavar="<rows>", min=1, max=10_000, help="Without a key: compute so many random rows again."),
    ] = None,
    personal: PersonalOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say why a row has its score, and compute it again: score, reasons, features, source rows with file and line.

    It lists each score that was published for the row, so also those before a correction. It computes score and reasons
    again from the receipt, and says whether they are equal to the last bit.

    The source rows are all that the code of the features was given for the day. The nearest are shown.
    """
    from contrail.operations.rows_of_key import key_help, parse_key
    from contrail.operations.why import why as find
    from contrail.operations.why_page import render

    loaded = load_pipeline(pipeline)
    if sample is not None:
        if key is not None or as_of is not None or html is not None or personal:
            raise SpecError("--sample chooses random rows: it takes no key, no --as-of, no --html and no --personal")
        _recheck(loaded, sample, on, as_json)
        return
    if key is None:
        raise SpecError(f"there is no key. {key_help(loaded.spec)} With --sample 1000, random rows are computed again.")
    printing.check_asked(html, "--html")
    moment = parse_moment(as_of, "--as-of")
    found = find(lake_of(loaded), loaded, parse_key(loaded.spec, key), _day(on), moment, personal)
    if html is not None:
        printing.write_asked(html, render(found), "--html")
    if as_json:
        print_json(found.as_dict())
    elif html is None:
        _print(found)


def _recheck(pipeline: Pipeline, rows: int, on: str | None, as_json: bool) -> None:
    from contrail.operations.recheck import recheck

    days = None if on is None else Partitions.parse(on)
    with printing.progress(f"why {pipeline.name}") as show:
        found = recheck(lake_of(pipeline), pipeline, rows, days=days, progress=show)
    if as_json:
        print_json(found.as_dict())
    else:
        of = f"{found.rows:,} random rows of {found.days:,} days, by versions {', '.join(found.versions)}"
        left = f" {found.expired:,} cannot be: their features have expired." if found.expired else ""
        say(f"{of}: {found.same:,} computed again to the same score and reasons, to the last bit.{left}")
    if found.others:
        raise DataError(
            f"{found.rows - found.same - found.expired:,} came out different, the first: {'; '.join(found.others)}. "
            f"contrail why <key> -p {pipeline.name} shows one of them."
        )


def _day(on: str | None) -> date | None:
    return None if on is None else Partitions.parse(on).start


def _print(found: "Why") -> None:
    receipt = found.receipt
    score = f"{receipt.prediction:.6g}"
    decided = "" if receipt.decision is None else f", {'flagged' if receipt.decision else 'not flagged'}"
    key = ", ".join(f"{name}={value}" for name, value in receipt.key.items())
    say(f"[bold]{escape(key)}[/], {receipt.partition}: [bold]{score}[/]{decided}, by version {receipt.model.version}")
    mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: "[yellow]–[/]"}[found.same]
    say(f"{mark} {escape(found.verdict)}")
    if found.threshold_reason:
        say(f"Its decision: {escape(found.threshold_reason)}.")
    _print_published(found)
    _print_effects(found)
    _print_sources(found)
    _print_receipt(found)


def _print_published(found: "Why") -> None:
    table = _table("published (UTC)", "score", "model", "because of", "computed again", "run")
    for one in found.published:
        at = one.published_at[:19].replace("T", " ") + (" ← this one" if one.shown and len(found.published) > 1 else "")
        again = {True: "the same", False: "another", None: "no longer possible"}[one.same]
        table.add_row(*map(cell, (at, one.prediction, one.model_version, one.cause, again, one.scoring_run)))
    printing.out.print(table)
    if found.older_expired:
        say("Older snapshots have expired; what was published before them is not listed.")


def _print_effects(found: "Why") -> None:
    if found.explained is None:
        table = _table("reason", "value", "effect")
        rows: Sequence[tuple[object, ...]] = [
            (r.feature, r.value, f"{r.contribution:+.4f}") for r in found.receipt.reasons
        ]
    else:
        table = _table("feature", "value", "effect", "meaning")
        rows = [
            (one.feature, "personal" if one.hidden else one.value, f"{one.contribution:+.4f}", one.meaning)
            for one in found.explained.effects[:_EFFECTS]
        ]
        if more := len(found.explained.effects) - _EFFECTS:
            rest = sum(one.contribution for one in found.explained.effects[_EFFECTS:])
            rows += [(f"{more} others", "", f"{rest:+.4f}", "")] if more > 0 else []
    for row in rows:
        table.add_row(*map(cell, row))
    printing.out.print(table)


def _print_sources(found: "Why") -> None:
    if found.sources:
        say("[bold]Source rows[/]: all that the features' code was given for the day; the nearest are shown.")
    for source in found.sources:
        days = [day for group in source.groups for day in (group.first, group.last) if day]
        when = f", {Partitions(min(days), max(days))}" if days else ""
        files = f", {len(source.files):,} files" if source.files else ""
        say(f"  [bold]{escape(source.table)}[/]: {escape(source.gone) or f'{source.rows:,} rows{when}{files}'}")
        for row in source.shown[:_ROWS]:
            where = f"{row.file}, line {row.line}" if row.file else "its landed row is no longer kept"
            mended = f" ({row.mended})" if row.mended else ""
            say(f"    {escape(where)}{escape(mended)}: {escape(_values(row.values))}")


def _values(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items() if value is not None)


def _by(made: "Made | None") -> str:
    return f" of {escape(made.person)}" if made and made.person else ""


def _print_receipt(found: "Why") -> None:
    receipt = found.receipt
    model, scoring, features = receipt.model, receipt.scoring, receipt.features
    say("[bold]Receipt[/]")
    code = scoring.code_revision if scoring else "unknown, as its commit has expired"
    say(f"  scored {receipt.scored_at[:19]} by run {escape(receipt.scoring_run)}{_by(scoring)}, code {code}")
    made = (
        f" of run {features.run_id}{_by(features)}, code {features.code_revision}"
        if features
        else ", which has expired"
    )
    say(f"  features: snapshot {receipt.features_snapshot}{escape(made)}")
    say(
        f"  model: version {model.version}, trained on {model.training_window}, {model.training_rows:,} rows, "
        f"training set MD5 {model.training_set_md5}, code {model.code_revision}"
    )
    tables: dict[str, list[str]] = {}
    for source in found.sources:
        for one in source.checked:
            days = f" ({', '.join(one.days)})" if one.days else ""
            contract = f", contract {one.contract}" if one.contract else ""
            by = f"validated by run {one.run_id}, code {one.code_revision}{contract}"
            tables.setdefault(by, []).append(f"{source.table}{days}")
    for by, names in tables.items():
        say(f"  {escape(', '.join(names))}: {escape(by)}")


def _table(*columns: str) -> Table:
    return Table(*columns, header_style="bold")


# ---- what if ----


@command(app, "what-if", TABLES)
def what_if(
    pipeline: PipelineOption,
    key: KeyArgument,
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FEATURE=VALUE]...", help="Other values; feature= means unknown.", show_default=False),
    ] = None,
    on: DayOption = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which score a row would have with other values, and which small changes would flip its decision.

    The model's own package computes it. Without a change the score is the published one. Nothing is published.

    To flip the decision, one feature is changed, or two, to values that the training window had.
    """
    from contrail.operations.one_prediction import one_prediction
    from contrail.operations.rows_of_key import parse_key
    from contrail.operations.what_if import flips_of, parse_changes

    loaded, moment = load_pipeline(pipeline), parse_moment(as_of, "--as-of")
    lake, named = lake_of(loaded), parse_key(loaded.spec, key)
    wanted = parse_changes(loaded.spec, changes or [])
    found = one_prediction(lake, loaded, _day(on), named, wanted, moment)
    flips = flips_of(lake, loaded, found.receipt.partition, named, moment)
    if as_json:
        print_json({**found.as_dict(), "flips": flips.as_dict()})
        return
    _print_change(found, wanted)
    _print_flips(flips)


def _print_change(found: "OnePrediction", wanted: Mapping[str, object]) -> None:
    receipt, before, after = found.receipt, found.published, found.changed

    def decided(score: float) -> str:
        return "" if found.threshold is None else f" ({'flagged' if score >= found.threshold else 'not flagged'})"

    key = ", ".join(f"{name}={value}" for name, value in receipt.key.items())
    say(f"[bold]{escape(key)}[/], {receipt.partition}: {receipt.prediction:.6g}{decided(receipt.prediction)}")
    if found.threshold_reason:
        say(f"Its decision: {escape(found.threshold_reason)}.")
    if wanted and (before is None or after is None):
        say("Its features have expired, so no other score can be computed.")
    elif before and after:
        say(f"With your changes: [bold]{after.score:.6g}[/]{decided(after.score)}")
        then = {effect.feature: effect for effect in before.effects}
        table = _table("feature", "value", "new value", "effect", "new effect")
        for effect in after.effects:
            if effect.feature in wanted:
                old = then[effect.feature]
                parts = f"{old.contribution:+.4f}", f"{effect.contribution:+.4f}"
                table.add_row(*map(cell, (effect.feature, old.value, effect.value, *parts)))
        printing.out.print(table)


def _print_flips(flips: "Flips") -> None:
    if flips.single or flips.double:
        table = _table("what would flip it", "now", "score then", "size")
        for one in (*flips.single, *flips.double):
            changes = "  ".join(f"{name}={_short(value)}" for name, value in one.changes.items())
            now = "  ".join(_short(value) for value in one.before.values())
            table.add_row(*map(cell, (changes, now, one.score, one.size)))
        printing.out.print(table)
    say(escape(flips.tried))


def _short(value: object) -> str:
    return "unknown" if value is None else repr(value) if isinstance(value, float) else str(value)
