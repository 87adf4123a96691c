"""What a soak must show: each incident told once, nothing left failed, the year equal to the calm one, nothing growing."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.soak.calm import Differs
from tests.soak.incident import Incident, Told
from tests.soak.year import Planted

# A message of late files, of drift or of a mend may come with the next days' runs.
_DAYS_AFTER = 3
Line = dict[str, Any]


@dataclass
class Verdict:
    """What became of one incident, in words; ``wrong`` is empty where all is as it must be."""

    day: int
    incident: str
    told: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def verdicts(planted: Iterable[Planted], days: list[Line], landed: list[Line], messages: list[Line]) -> list[Verdict]:
    """Judge each incident by the messages between its first day and some days after its last.

    Args:
        planted: The incidents.
        days: The journal's lines of days.
        landed: The journal's lines of landings; each says how many messages there were before its day.
        messages: All messages, in order.
    """
    first = {line["day"]: line["messages"] for line in landed}
    last = max((line["day"] for line in days), default=0)
    failed = {line["day"]: line["failed"] for line in days}
    found = []
    for one in planted:
        if one.first > last:
            continue
        end = one.first + one.incident.days + _DAYS_AFTER
        window = messages[first[one.first] : first.get(end, len(messages))]
        verdict = Verdict(one.first, one.incident.name)
        for told in one.incident.told:
            _judge(told, one.incident, window, verdict)
        ended = min(last, one.first + one.incident.days - 1)
        stuck = [
            run
            for run in failed.get(ended, [])
            if run not in failed.get(one.first - 1, []) and run.startswith(one.incident.pipeline)
        ]
        verdict.wrong += [f"not healed: {run}" for run in stuck]
        found.append(verdict)
    return found


def _judge(told: Told, incident: Incident, window: list[Line], verdict: Verdict) -> None:
    fitting = [message for message in window if told.fits(message)]
    verdict.told += [f"{message['title']}: {message['happened'][:120]}" for message in fitting]
    if len(fitting) != told.times:
        verdict.wrong.append(f"told {len(fitting)} times, not {told.times}: {told.kind}, {told.words}")


def unexpected(planted: Iterable[Planted], messages: Iterable[Line]) -> list[str]:
    """The messages of failures and refusals that belong to no incident."""
    told = [one for planted_one in planted for one in planted_one.incident.told]
    trouble = [message for message in messages if message["kind"] in ("failure", "refusal", "deadline")]
    return [
        f"{message['title']}: {message['happened'][:200]}"
        for message in trouble
        if not any(one.fits(message) for one in told)
    ]


def unexplained(found: Iterable[Differs], explained: Mapping[tuple[str, str], Collection[str]]) -> list[str]:
    """The differences from the calm year on days for which there is no reason.

    Args:
        found: The differences.
        explained: By pipeline and table, the days on which rows may differ.
    """
    wrong = []
    for one in found:
        days = [day for day in one.days if day not in explained.get((one.pipeline, one.table), ())]
        if days or not one.days:
            wrong.append(f"{one.pipeline} {one.table}: {one.rows} rows differ, on {', '.join(days[:5]) or 'all days'}")
    return wrong


def growth(days: list[Line], names: Iterable[str]) -> dict[str, tuple[float, float, float]]:
    """The mean of each figure in the first, the middle and the last third of the days."""
    third = max(1, len(days) // 3)
    first, second, last = days[:third], days[third : 2 * third] or days, days[-third:]

    def mean(part: list[Line], name: str) -> float:
        return float(sum(line[name] for line in part) / len(part))

    return {name: (mean(first, name), mean(second, name), mean(last, name)) for name in names}
