"""What a soak must show: each incident struck and was told once, nothing stays failed, the year equals the calm one."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from tests.soak.calm import Differs
from tests.soak.incident import Told
from tests.soak.year import Planted

# A message of late files, of drift or of a mend may come with the next days' runs.
_DAYS_AFTER = 3
_TROUBLE = ("failure", "refusal", "deadline")
Line = dict[str, Any]


@dataclass
class Verdict:
    """What became of one incident, in words; ``wrong`` is empty where all is as it must be."""

    day: int
    incident: str
    told: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Record:
    """What a soak leaves: the journal's lines by their kinds, all messages in order, and the date of each simulated day."""

    days: list[Line]
    landed: list[Line]
    struck: list[Line]
    monthly: list[Line]
    messages: list[Line]
    date_of: Callable[[str, int], date]

    def window(self, one: Planted) -> tuple[int, int]:
        """The numbers of the messages from an incident's first day to some days after its last."""
        first = {line["day"]: line["messages"] for line in self.landed}
        end = one.first + one.incident.days + _DAYS_AFTER
        return first[one.first], first.get(end, len(self.messages))

    def began(self, one: Planted) -> date:
        """The date of an incident's first day."""
        return self.date_of(one.incident.pipeline, one.first)

    def of_trainings(self, message: Line) -> bool:
        """Whether a message says that the candidate of a month's training is refused."""
        gates = [(each["pipeline"], date.fromisoformat(each["day"]) - timedelta(days=1)) for each in self.monthly]
        return any(
            message["where"].startswith(f"{name} promote") and f"..{end}" in message["where"] for name, end in gates
        )


def verdicts(planted: Iterable[Planted], record: Record) -> list[Verdict]:
    """Judge each incident that is over: that it struck, that people were told once, and that no run of it stays failed."""
    last = max((line["day"] for line in record.days), default=0)
    failed = {line["day"]: line["failed"] for line in record.days}
    struck = {line["incident"] for line in record.struck}
    found = []
    for one in planted:
        ended = one.first + one.incident.days - 1
        if ended > last:
            continue
        begin, end = record.window(one)
        verdict = Verdict(one.first, one.incident.name)
        if one.incident.strikes and one.incident.name not in struck:
            verdict.wrong.append("it was not planted: its stage was not met")
        for told in one.incident.told:
            _judge(told, record.began(one), record.messages[begin:end], verdict)
        verdict.wrong += [f"not healed: {run}" for run in failed[ended] if run not in failed.get(one.first - 1, [])]
        found.append(verdict)
    return found


def _judge(told: Told, day: date, window: list[Line], verdict: Verdict) -> None:
    fitting = [message for message in window if told.fits(message, day)]
    verdict.told += [f"{message['title']}: {message['happened'][:120]}" for message in fitting]
    if told.times is not None and len(fitting) != told.times:
        verdict.wrong.append(f"told {len(fitting)} times, not {told.times}: {told.kind}, {told.words}")


def unexpected(planted: Iterable[Planted], record: Record) -> list[str]:
    """The messages of failures, refusals and missed deadlines that belong to no incident, nor to a month's training."""
    expected = set[int]()
    for one in planted:
        if one.first in {line["day"] for line in record.landed}:
            begin, end = record.window(one)
            day = record.began(one)
            expected |= {
                number
                for number in range(begin, end)
                if any(told.fits(record.messages[number], day) for told in one.incident.told)
            }
    return [
        f"{message['title']}: {message['happened'][:200]}"
        for number, message in enumerate(record.messages)
        if message["kind"] in _TROUBLE and number not in expected and not record.of_trainings(message)
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
