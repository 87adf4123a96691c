"""What a storm did wrong, from its journal: the commits of each table are one chain, and everything seen is a state of it."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from contrail.lake.provenance import BACK_TO, PARTITIONS
from contrail.partitions import Partitions
from tests.storm import tagged
from tests.storm.journal import Journal

WRONGS = ("torn", "unpublished", "lost", "doubled", "error", "left")
Line = dict[str, Any]
# How long before it is read a state of the past may have been current: a second ago, and what a clock of milliseconds misses.
_PAST_SECONDS = 2.0


@dataclass
class Verdict:
    """What was counted, and what was wrong, in words by kind.

    ``torn``: a day of two publications, or of a part of one. ``unpublished``: a read that is no state which was current
    while it was read. ``lost``, ``doubled``: publications. ``error``: what was said to a person is no clear retry.
    ``left``: files that nobody needs, missing files, or models that are not as their history says.
    """

    wrong: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in WRONGS})
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    commits: int = 0
    reads: int = 0

    @property
    def operations(self) -> int:
        """The number of operations."""
        return sum(sum(own.values()) for own in self.counts.values())

    def as_text(self) -> str:
        """The verdict as JSON."""
        counts = {kind: dict(own) for kind, own in self.counts.items()}
        return json.dumps([self.wrong, counts, self.commits, self.reads])

    @classmethod
    def read(cls, text: str) -> "Verdict":
        """Read such JSON."""
        wrong, counts, commits, reads = json.loads(text)
        return cls(wrong, {kind: Counter(own) for kind, own in counts.items()}, commits, reads)


@dataclass
class _Epoch:
    """A state of a table while it was current: at the earliest from ``begin``, and at the latest until ``end``."""

    state: tagged.State
    begin: float
    end: float = float("inf")


class Chain:
    """The commits of one table in their order, and the states that they made."""

    def __init__(self, table: str, lines: list[Line], intents: dict[str, Line], verdict: Verdict) -> None:
        self.table, self._intents, self._verdict = table, intents, verdict
        self.epochs: list[_Epoch] = []
        self.states: dict[int, tagged.State] = {}
        self.done: dict[str, list[str]] = defaultdict(list)
        self.links = self._in_order(lines)
        self.last = self.links[-1]["after"] if self.links else None

    def _in_order(self, lines: list[Line]) -> list[Line]:
        after: dict[str, list[Line]] = defaultdict(list)
        for line in lines:
            after[line["before"]].append(line)
        made = {line["after"] for line in lines}
        starts = [place for place in after if place not in made]
        for place, own in after.items():
            if len(own) > 1:
                who = ", ".join(line["operation"] for line in own)
                self._verdict.wrong["lost"].append(f"{self.table}: {who} both replaced {place}")
        if len(starts) > 1:
            self._verdict.wrong["lost"].append(f"{self.table}: commits nobody knows of, before {starts[1:]}")
        found, place = [], starts[0] if starts else ""
        while place in after:
            found.append(after[place][0])
            place = found[-1]["after"]
        return found

    def replay(self) -> None:
        """Work out the states from what the operations wanted to do, in the order of their commits."""
        current, now = None, tagged.State()
        for link in self.links:
            snapshot, intent = link["snapshot"], self._intents.get(link["operation"], {})
            if snapshot == current:
                continue  # a tag
            if snapshot in self.states:
                if intent.get("target") != snapshot:
                    self._verdict.wrong["lost"].append(f"{self.table}: {link['operation']} went back to {snapshot}")
                now = self.states[snapshot]
            elif back := link["summary"].get(BACK_TO):
                now = self.states.get(int(back), now)
            elif label := link["summary"].get(PARTITIONS):
                days = [str(day) for part in label.split(",") for day in Partitions.from_text(part)]
                self.done[link["operation"]] += days
                now = tagged.state(now, days, intent["tag"])
            self.states[snapshot], current = now, snapshot
            if self.epochs:
                self.epochs[-1].end = link["end"]
            self.epochs.append(_Epoch(now, link["begin"]))

    def between(self, begin: float, end: float) -> Iterator[tagged.State]:
        """The states that may have been current at some time of a read."""
        return (one.state for one in self.epochs if one.begin <= end and one.end >= begin)


def judge(journal: Journal) -> tuple[Verdict, dict[str, Chain]]:
    """Judge the operations of a storm, and return the chains of the tables too."""
    verdict = Verdict()
    intents = {line["operation"]: line for line in journal.lines("intent")}
    of_table: dict[str, list[Line]] = defaultdict(list)
    for line in journal.lines("commit"):
        of_table[line["table"]].append(line)
        verdict.commits += 1
    chains = {table: Chain(table, lines, intents, verdict) for table, lines in sorted(of_table.items())}
    for table, chain in chains.items():
        if table.startswith(f"{tagged.PIPELINE}."):
            chain.replay()
    for line in journal.lines("operation"):
        _judge(line, chains, verdict)
    return verdict, chains


def _judge(line: Line, chains: dict[str, Chain], verdict: Verdict) -> None:
    kind, outcome, name = line["kind"], line["outcome"], line["operation"]
    verdict.counts[kind][outcome] += 1
    if outcome == "wrong":
        verdict.wrong["error"].append(f"{name} {kind}: {line.get('line', '')} {line['said']}")
    verdict.wrong["torn"] += [f"{name} {kind}: {each}" for each in line.get("torn", ())]
    chain = chains.get(f"{tagged.PIPELINE}.{line.get('table')}")
    if chain is None or outcome != "done":
        return
    if "tag" in line:
        _judge_publication(line, chain, verdict)
    if "state" in line or "counts" in line:
        verdict.reads += 1
        if not line.get("torn") and not _was_published(line, chain):
            verdict.wrong["unpublished"].append(
                f"{name} {kind} of {line['table']}: {line.get('state', line.get('counts'))}"
            )


def _judge_publication(line: Line, chain: Chain, verdict: Verdict) -> None:
    done, wanted, name = Counter(chain.done.get(line["operation"], ())), Counter(line["days"]), line["operation"]
    verdict.wrong["doubled"] += [
        f"{name}: {day} was published {count} times too often" for day, count in (done - wanted).items()
    ]
    # The same rows from the same work, published once more, make no commit where nobody came between.
    if line["kind"] != "publish_again" or done:
        verdict.wrong["lost"] += [f"{name}: {day} was never published" for day in wanted - done]


def _was_published(line: Line, chain: Chain) -> bool:
    if "snapshot" in line:
        return chain.states.get(line["snapshot"]) == line["state"]
    begin = line["begin"] - (_PAST_SECONDS if line.get("past") else 0)
    for state in chain.between(begin, line["end"]):
        own = {day: tag for day, tag in state.items() if day in line["days"]} if "days" in line else state
        if "counts" in line and {day: tagged.count(tag) for day, tag in own.items()} == line["counts"]:
            return True
        if "state" in line and own == line["state"]:
            return True
    return False
