"""Features and data: are expectations, benefits, costs, rules, privacy, changes and code of the features under test?"""

from collections.abc import Iterator
from pathlib import Path

from contrail.adapters import gx
from contrail.config.names import quoted
from contrail.config.readme import README
from contrail.lake.sql import ask
from contrail.operations.forgetting.places import PLACES, WITHOUT_ROWS
from contrail.operations.kept_checks import BENEFITS, COSTS, LEAKS, Check
from contrail.operations.score_card.claims import Claim, Needed, RubricTest
from contrail.operations.score_card.state import State

NAME = "Features and data"
_FORGET = "tests/integration/test_forget.py"
_PERSONAL = "## Personal data"
_LOOKED_AT = 1_000  # values of a personal column


def expectations(state: State) -> Iterator[Claim]:
    """Each table has rules, and the newest day was judged by them."""
    gx.load()
    given, path = state.pipeline.function("expectations", "contracts")(), f"{state.spec.name}/expectations.py"
    rules = {
        name: len({**own.rows, **own.references, **own.partitions}) if (own := given.get(name)) else 0
        for name in state.spec.tables
    }
    bare = [name for name, count in rules.items() if not count]
    says = f"{sum(rules.values())} rules on {len(rules)} tables, beside types and required values in pipeline.yaml"
    yield state.ran(
        "half", not bare, f"no rule on {', '.join(bare)}" if bare else says,
        f"give {', '.join(bare)} a contract in expectations.py", path,
    )  # fmt: skip
    name = state.spec.entities
    commit = state.commit(f"validated_{name}", state.newest)
    changed = state.staleness.defined_anew("validate", commit.provenance, name) if commit else "nothing judged it"
    yield state.cited(
        "whole", not changed,
        f"{name} of {state.newest} was not judged by today's rules: {changed}" if changed
        else f"{name} of {state.newest} was judged by today's rules",
        f"contrail validate -p {state.spec.name} --from {state.newest}",
        f"validated_{name}, snapshot {commit.snapshot}, run {commit.provenance.run_id}" if commit else "",
        commit.committed_at if commit else "",
    )  # fmt: skip


def benefits(state: State) -> Iterator[Claim]:
    """Each feature's part in the champion is recorded; what it loses without one, only where somebody measured it."""
    gains = {one.name: one.gain for one in state.findings.features}
    unused = [name for name, gain in gains.items() if not gain] + [
        n for n in state.spec.features.columns if n not in gains
    ]
    yield state.cited(
        "half", not unused,
        f"version {state.version} does not use {', '.join(unused)}" if unused
        else f"each of {len(gains)} features has a part in version {state.version}",
        "leave out what the champion does not use, and train", f"contrail model-card -p {state.spec.name}",
        state.trained_at,
    )  # fmt: skip
    yield _of_each(state, BENEFITS, "whole", "what the model loses without each feature")


def costs(state: State) -> Iterator[Claim]:
    """What each feature costs, beside what it brings."""
    yield _of_each(state, COSTS, "half", "what each feature costs")
    yield _of_each(state, BENEFITS, "whole", "what each feature brings for its cost")


def _of_each(state: State, check: Check, needed: Needed, what: str) -> Claim:
    """Claim that a number was recorded for each feature, of today's definition and of the champion."""
    record = state.kept(check)
    wrong = f"nobody has measured {what}"
    if record:
        left = [name for name in state.spec.features.columns if name not in record.numbers]
        changed = record.outdated(state.pipeline, state.settings)
        older = record.checked_at < state.made_champion.moved_at
        wrong = (
            f"not measured: {', '.join(left)}" if left
            else f"measured before the features changed: {changed}" if changed
            else f"measured before version {state.version} was champion" if older
            else ""
        )  # fmt: skip
    return state.cited(
        needed, not wrong, wrong or f"measured: {what}", f"contrail inspect-features -p {state.spec.name}",
        state.link_of(check) if record else "", record.checked_at.isoformat() if record else "",
    )  # fmt: skip


def rules_of_features(state: State) -> Iterator[Claim]:
    """The spec keeps every rule, and a recorded check shows that no feature knows the future."""
    problems = state.checked.problems
    yield state.ran(
        "half", not problems,
        f"{len(problems)} problems, the first: {problems[0]}" if problems
        else "the spec keeps every rule: each feature documented, none personal, nothing misspelt",
        "mend what contrail check finds", f"contrail check -p {state.spec.name} --thorough",
    )  # fmt: skip
    record, wrong = state.kept(LEAKS), "nobody has recorded a check of leaks"
    if record:
        changed = record.outdated(state.pipeline, state.settings)
        wrong = (
            record.says if not record.passed
            else f"leaks were looked for before the features changed: {changed}" if changed
            else f"leaks were looked for before version {state.version} was champion"
            if record.checked_at < state.made_champion.moved_at
            else ""
        )  # fmt: skip
    yield state.cited(
        "whole", not wrong, wrong or (record.says if record else ""), f"contrail check-leaks -p {state.spec.name}",
        f"{state.link_of(LEAKS)}, code {record.code_revision[:12]}" if record else "",
        record.checked_at.isoformat() if record else "",
    )  # fmt: skip
    yield state.repository.ci_makes(
        "check-leaks", "whole", f"CI looks for leaks of {state.spec.name} at each change", state.spec.name
    )


def privacy(state: State) -> Iterator[Claim]:
    """People can be masked and forgotten, everywhere; and somebody has said which columns are of people."""
    yield state.repository.test(_FORGET, "half", "CI removes a person from every place of a home")
    here = sorted(one.name for one in state.settings.home_path.glob("*"))
    looked_after = {name for place in PLACES for name in place.homes} | set(WITHOUT_ROWS)
    stray = [name for name in here if name not in looked_after and not name.startswith(".")]
    yield state.ran(
        "half", not stray,
        f"contrail forget does not look into {', '.join(stray)}" if stray
        else f"contrail forget looks after each of the {len(here)} folders of this home",
        f"move {', '.join(stray)} out of the home", "docs/forget.md",
    )  # fmt: skip
    personal = sorted(state.spec.personal)
    readme = state.pipeline.folder / README
    said = _PERSONAL in (readme.read_text(encoding="utf-8") if readme.exists() else "")
    yield state.cited(
        "whole", bool(personal) or said,
        f"personal: {', '.join(personal)}" if personal
        else "its README says why no column is personal" if said
        else "nobody has said whether a column is personal",
        f"mark columns with personal: true, or say under '{_PERSONAL}' in {README} why none is",
        f"{state.spec.name}/pipeline.yaml" if personal else f"{state.spec.name}/{README}" if said else "",
    )  # fmt: skip
    if personal:
        shown = sorted(_shown(state))
        yield state.ran(
            "whole", not shown,
            f"a query shows values of {', '.join(shown)}" if shown else "a query shows pseudonyms of each personal column",
            "report it: docs/forget.md", f"contrail query -p {state.spec.name}",
        )  # fmt: skip


def _shown(state: State) -> Iterator[str]:
    """Personal columns whose values a query shows."""
    for table, source in state.spec.tables.items():
        name = f"validated_{table}"
        for column in source.personal if state.lake.exists(name) else ():
            # Where nothing is masked, both questions have the same first answers.
            sql = f"SELECT DISTINCT {quoted(column)} AS one FROM {name} WHERE one IS NOT NULL ORDER BY one LIMIT {_LOOKED_AT}"
            with ask(state.lake, state.spec, sql) as answer, ask(state.lake, state.spec, sql, personal=True) as real:
                if {*answer.rows()} & {*real.rows()}:
                    yield f"{table}.{column}"


def new_features(state: State) -> Iterator[Claim]:
    """A page says how, and CI types it; a pipeline in use takes new features."""
    page, typed = "docs/add-a-pipeline.md", "tests/integration/test_add_a_pipeline.py"
    there = bool(state.repository.text(page))
    yield Claim(
        holds=there, says="a page takes a newcomer from a file to predictions" if there else f"there is no {page}",
        needed="half", how="cited", of="project", link=page, at=state.repository.committed_at(page), remedy=f"write {page}",
    )  # fmt: skip
    yield state.repository.test(typed, "half", "CI types that page's commands, and a new pipeline predicts")
    changed = "tests/integration/test_evolution.py"
    yield state.repository.test(changed, "whole", "CI changes the features of a pipeline in use, and its models go on")


def code_of_features(state: State) -> Iterator[Claim]:
    """The pipeline has tests of its own, and they name each feature."""
    folder = state.repository.root
    places = [folder / "tests" / "unit" / "pipelines" / state.spec.name, state.pipeline.folder / "tests"]
    files = [_below(one, folder) for place in places for one in sorted(place.glob("test_*.py"))]
    own = [path for path in files if state.repository.tests_in(path)]
    if not own:
        yield state.cited("half", False, "no test of this pipeline's features", "write tests: docs/add-a-pipeline.md")
        return
    first = next((path for path in own if path.endswith("test_features.py")), own[0])
    tests = sum(len(state.repository.tests_in(path)) for path in own)
    yield state.repository.test(first, "half", f"CI runs {tests} tests of this pipeline's code")
    words = " ".join(state.repository.text(path) for path in own)
    unnamed = [name for name in state.spec.features.columns if name not in words]
    yield state.cited(
        "whole", not unnamed,
        f"no test names {', '.join(unnamed)}" if unnamed
        else f"the tests name each of {len(state.spec.features.columns)} features",
        f"test {', '.join(unnamed)}", first, state.repository.committed_at(first),
    )  # fmt: skip


def _below(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


TESTS = (
    RubricTest(
        "1.1", "Expectations of features", "Is it written down what values are expected, and checked?",
        "Each landed table has rules.", "The newest day with predictions was judged by today's rules.", expectations,
    ),
    RubricTest(
        "1.2", "Use of features", "Does the model gain from each feature?",
        "Each feature has a part in the champion's trees.", "What it loses without each feature was measured since.", benefits,
    ),
    RubricTest(
        "1.3", "Cost of features", "Is each feature worth what it costs?",
        "The cost of each feature was measured.", "So was what each brings.", costs,
    ),
    RubricTest(
        "1.4", "Rules for features", "Do features keep the rules of the place, such as knowledge time and documentation?",
        "contrail check finds nothing.",
        "A check of leaks since the last change and the champion found nothing, and CI repeats it.", rules_of_features,
    ),
    RubricTest(
        "1.5", "Privacy", "Is access to people's data controlled along the whole way?",
        "Each place where rows lie can be searched for a person, and CI removes one.",
        "Somebody has said what is personal, and queries mask it.", privacy,
    ),
    RubricTest(
        "1.6", "New features", "Is the way from an idea for a feature to production short?",
        "A page shows it, and CI follows it.", "CI changes the features of a pipeline in use.", new_features,
    ),
    RubricTest(
        "1.7", "Code of features", "Is the code that makes features tested?",
        "CI runs tests of the pipeline's own.", "They name each feature.", code_of_features,
    ),
)  # fmt: skip
