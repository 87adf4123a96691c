import dataclasses
from datetime import UTC, date, datetime, time

import pytest

from contrail.config.pipeline import Pipeline
from contrail.stages.promotion import aliases


@pytest.mark.parametrize(
    ("cutoff", "first"), [(time(9), date(2026, 5, 4)), (time(8), date(2026, 5, 4)), (time(7), date(2026, 5, 5))]
)
def test_a_running_pipeline_has_its_champion_from_the_next_cutoff(toy, monkeypatch, cutoff, first):
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2026, 5, 4, 12, tzinfo=UTC).astimezone(tz)  # 08:00 in New York

    monkeypatch.setattr(aliases, "datetime", Clock)
    spec = toy.spec.model_copy(update={"last_partition": None, "cutoff": cutoff})
    pipeline = Pipeline(folder=toy.pipeline.folder, spec=spec)
    run = dataclasses.replace(toy.stage_run("promote", "2024-02-11", "2024-03-09"), pipeline=pipeline)
    assert aliases.first_partition(run) == first
