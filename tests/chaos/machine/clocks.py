"""A clock that is wrong, or that jumps while a command runs."""

from tests.chaos.disturbed import Disturbance
from tests.chaos.preload import set_clock

HOUR, DAY = 3600, 86_400
# How far the clock jumps, and at which of its readings.
JUMPS = {"an hour on": HOUR, "an hour back": -HOUR, "a day on": DAY, "a day back": -DAY, "ten years on": 3650 * DAY}
_READINGS = (1, 60, 400)


def _jump(name: str, seconds: int, at: int) -> Disturbance:
    when = "from the beginning" if at == 1 else f"at reading {at}"
    return Disturbance(f"clock {name}, {when}", lambda: set_clock(seconds, at))


CLOCKS = tuple(_jump(name, seconds, at) for at in _READINGS for name, seconds in JUMPS.items())
