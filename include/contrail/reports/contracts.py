"""The page that a validation leaves for people: what was checked, what broke, what was refused.

Each run writes one HTML file, which needs no network. Great Expectations' own site of the newest run lies beside it.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from upath import UPath

from contrail.adapters.checks import Checks, Verdict
from contrail.files import remove_folder, scratch, unfinished_beside, write_whole
from contrail.reports.page import protected

if TYPE_CHECKING:
    from jinja2 import Template

_SITE = "great_expectations"
_TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1160px; margin: 24px auto; padding: 0 24px; color: #222; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 19px; margin: 32px 0 4px; }
table { border-collapse: collapse; margin: 12px 0; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 4px 18px 4px 0; border-bottom: 1px solid #ddd; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.bad { color: #b00020; font-weight: 600; } .warn { color: #8a5a00; font-weight: 600; }
.ok { color: #1b6e2c; font-weight: 600; } .note, small { color: #666; }
code { font-size: 13px; white-space: nowrap; } table.rules th:first-child { width: 230px; }
</style></head><body>
<h1>{{ title }}</h1>
<p class="note">Run {{ run_id }}, {{ made_at }} UTC. Checked by Great Expectations {{ version }}.
<a href="{{ site }}/index.html">Its own pages</a> of the newest run load their styles from the internet.</p>
<table><tr><th>table</th><th class="n">landed rows</th><th class="n">good</th><th class="n">quarantined</th>
<th class="n">refused partitions</th><th></th></tr>
{% for t in tables %}<tr><td><a href="#{{ t.table }}">{{ t.table }}</a></td>
<td class="n">{{ "{:,}".format(t.landed) }}</td>
<td class="n">{{ "{:,}".format(t.good) }}</td>
<td class="n">{{ "{:,}".format(t.bad) }}</td>
<td class="n">{{ t.refused|length }}</td><td class="{{ t.state.style }}">{{ t.state.words }}</td></tr>
{% endfor %}</table>
{% for t in tables if t.landed or t.refused %}<h2 id="{{ t.table }}">{{ t.table }}</h2>
{% if t.refused %}<p class="bad">Refused; readers see what was published before:</p>
<ul>{% for words in t.refused %}<li>{{ words }}</li>{% endfor %}</ul>{% endif %}
{% if t.unusual %}<p class="warn">Unlike the table's own last days:</p>
<ul>{% for words in t.unusual %}<li>{{ words }}</li>{% endfor %}</ul>{% endif %}
<table class="rules"><tr><th>rule</th><th>what must hold</th><th class="n">checked</th><th class="n">broken</th></tr>
{% for line in t.lines %}<tr><td><code>{{ line.rule }}</code></td>
<td>{{ line.words }}{% for example in line.examples %}<br><small>{{ example }}</small>{% endfor %}</td>
<td class="n">{{ "{:,}".format(line.checked) }}</td>
<td class="n {{ 'warn' if line.broken else 'ok' }}">{{ "{:,}".format(line.broken) }}</td></tr>
{% endfor %}</table>{% endfor %}
</body></html>
"""
_UNQUOTED = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>No pages</title></head><body>
<p>Great Expectations' own pages of this run are not kept. A rule on a personal column was broken, and they would quote
the values. Contrail's page of the run has every rule and its counts.</p></body></html>
"""
_BUILT_IN = {
    "type": "every value has its column's type",
    "not_null": "a required column has a value",
    "known_at_in_partition": "a daily row became known on its partition's day; if known ahead, before the cut-off",
    "unique_key": "the key occurs once",
    "label": "an outcome's label is a finite number; of a binary task, 0 or 1",
}


@dataclass(frozen=True)
class State:
    """What became of a table, in words, and the style of these words."""

    style: str
    words: str


@dataclass(frozen=True)
class RuleLine:
    """A rule in the page: how many rows or partitions it checked, how many broke it, and examples."""

    rule: str
    words: str
    checked: int
    broken: int
    examples: Sequence[str]


@dataclass(frozen=True)
class TableReport:
    """What a validation found in one table.

    ``refused`` has a line for each refused partition and rule, ``examples`` some bad rows of each rule.
    ``unusual`` has a line for each day that is unlike the table's own last ones.
    """

    table: str
    landed: int = 0
    good: int = 0
    bad_by_rule: Mapping[str, int] = field(default_factory=dict)
    verdicts: Sequence[Verdict] = ()
    partition_verdicts: Sequence[Verdict] = ()
    refused: Sequence[str] = ()
    examples: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unchanged: bool = False
    unusual: Sequence[str] = ()

    @property
    def bad(self) -> int:
        """Rows that broke a rule."""
        return sum(self.bad_by_rule.values())

    @property
    def state(self) -> State:
        """What became of the table."""
        if self.refused:
            return State("bad", "refused")
        if self.unchanged:
            return State("note", "unchanged since its last validation")
        words = ["some rows set aside"] * bool(self.bad) + ["unusual"] * bool(self.unusual)
        return State("warn", ", ".join(words)) if words else State("ok", "ok")

    @property
    def lines(self) -> list[RuleLine]:
        """A line for every rule."""
        found: list[RuleLine] = []
        for rule, words in _BUILT_IN.items():
            broken = [name for name in self.bad_by_rule if name.split(":")[0] == rule]
            shown = [example for name in broken for example in self.examples.get(name, ())]
            found.append(RuleLine(rule, words, self.landed, sum(self.bad_by_rule[name] for name in broken), shown))
        for verdict in self.verdicts:
            bad = self.examples.get(verdict.rule) or [*verdict.examples.values()][:3]
            examples = [example.replace(f"{verdict.words} Found ", "") for example in bad]
            found.append(RuleLine(verdict.rule, verdict.words, verdict.checked, verdict.broken, examples))
        for verdict in self.partition_verdicts:
            examples = [f"{day}: {values}" for day, values in verdict.examples.items()]
            found.append(RuleLine(verdict.rule, verdict.words, verdict.checked, verdict.broken, examples[:10]))
        return found


@cache
def _template() -> "Template":
    from jinja2 import Environment

    return Environment(autoescape=True).from_string(_TEMPLATE)


def write_report(
    folder: UPath, run_id: str, title: str, tables: Sequence[TableReport], checks: Checks | None, kept: int
) -> list[str]:
    """Write the page of a run and replace Great Expectations' site. Keep only the newest ``kept`` pages.

    Without ``checks`` the site is one page that says why: its own pages would quote values of persons.

    Returns:
        The paths of both, the page first.
    """
    from importlib.metadata import version

    page = folder / f"{re.sub(r'[^A-Za-z0-9._-]', '_', run_id)}.html"
    text = _template().render(
        title=title,
        run_id=run_id,
        made_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        version=version("great_expectations"),
        site=_SITE,
        tables=tables,
    )
    write_whole(page, protected(text).encode())
    # The page of this run stays, whatever the clock says of the others.
    others = sorted((each for each in folder.glob("*.html") if each != page), key=lambda path: path.stat().st_mtime)
    for old in others[: max(len(others) - kept + 1, 0)]:
        old.unlink()
    return [str(page), _replace_site(folder / _SITE, checks)]


def _index(site: Path) -> str:
    """A list of the site's pages. The index of Great Expectations is made by a script, and none may run."""
    lists = []
    for kind, title in (("validations", "Results"), ("expectations", "Rules")):
        pages = sorted((site / kind).rglob("*.html"))
        links = (f'<li><a href="{quote(str(one.relative_to(site)))}">{escape(_suite(one))}</a></li>' for one in pages)
        lists.append(f"<h2>{title}</h2><ul>{''.join(links)}</ul>")
    head = '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Great Expectations</title></head>'
    return f'{head}<body><div class="container-fluid"><h1>Great Expectations</h1>{"".join(lists)}</div></body></html>'


def _suite(page: Path) -> str:
    return page.stem.removeprefix("landed-")


def _replace_site(site: UPath, checks: Checks | None) -> str:
    """Put the newest site in place. Runs of other days write theirs at the same time; the last one stays, complete."""
    with scratch("contrail-contracts-") as made:
        if checks is None:
            (made / "index.html").write_text(_UNQUOTED, encoding="utf-8")
        else:
            checks.write_site(made)
            (made / "index.html").write_text(_index(made), encoding="utf-8")
        for page in made.rglob("*.html"):
            page.write_text(protected(page.read_text(encoding="utf-8"), needs="styles of others"), encoding="utf-8")
        fresh = unfinished_beside(site)
        site.fs.put(f"{made}/", f"{fresh}/", recursive=True)
    old = unfinished_beside(site)
    # Move the old site aside before removing it, so that no run deletes what another one writes.
    with suppress(FileNotFoundError):
        site.rename(old)
    with suppress(OSError):  # another run was quicker; its site is as new as this one
        fresh.rename(site)
    for left in (old, fresh):
        remove_folder(left)
    return str(site / "index.html")
