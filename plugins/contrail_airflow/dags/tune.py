"""The DAG ``tune``: a search for better parameters, whose best trial becomes a candidate."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from airflow.sdk import DAG, Param

from contrail.config.pipeline import parse_pipeline
from contrail.config.spec import PipelineSpec
from contrail.config.training_windows import as_of_training
from contrail.partitions import Partitions
from contrail_airflow.dags.policy import dag, limit, place, stage, start, use_what_is_rented
from contrail_airflow.dags.train import SETTINGS, Windows, is_allowed
from contrail_airflow.operators.day import DayOperator
from contrail_airflow.operators.ending import refusing
from contrail_airflow.operators.stage import NEW_RUN

_ASKED = "params['from'], params['to'], dag_run.run_after"
_DAY = "{{ search_day(" + _ASKED + ") }}"
_PERSON = "{{ dag_run.triggering_user_name or 'unknown' }}"
_REASON = "{{ params.why or '' }}"
# A task that is killed at its limit goes on at its next attempt. It is better to end before, with a candidate.
_SHARE_OF_LIMIT = 0.75


def tune(pipeline: str) -> DAG:
    """Govern → tune, started by a person. A search that registers nothing needs no leave."""
    spec = parse_pipeline(pipeline).spec
    with dag(
        spec, "tune", stages=("tune",),
        schedule=None, start_date=start(spec), max_active_runs=1, params=_params(spec),
        user_defined_macros={**SearchDays(spec).macros(), "is_allowed": is_allowed},
    ) as made:  # fmt: skip
        govern = DayOperator(
            task_id="govern", verb="govern", pipeline=spec.name, partition_from=_DAY, partition_to=_DAY,
            skip_unless="{{ 'yes' if params.register else '' }}",
            options={
                "asked": "by-hand", "training": "{{ run_id }}", "person": _PERSON, "reason": _REASON,
                "insist": "{{ params.insist }}",
            },
        )  # fmt: skip
        search = stage(
            spec, "tune", skip_unless="{{ 'yes' if is_allowed(ti) else '' }}", trigger_rule="none_failed",
            partition_from="{{ search_window(" + _ASKED + ").start }}",
            partition_to="{{ search_window(" + _ASKED + ").end }}",
            options={
                "trials": "{{ params.trials }}",
                "budget_seconds": "{{ params.budget_seconds }}",
                "workers": "{{ params.workers or '' }}",
                "params": [*use_what_is_rented(spec, "tune"), "{{ params.set or '' }}"],
                "registered": "{{ params.register }}",
                "person": _PERSON,
                "reason": _REASON,
            },
            **place(spec, "tune"),
        )  # fmt: skip
        govern >> search
    return made


def _params(spec: PipelineSpec) -> dict[str, Param]:
    """The form of a search."""
    seconds = int(limit(spec, "tune").total_seconds() * _SHARE_OF_LIMIT)
    return {
        "from": Param(
            None, type=["null", "string"], format="date", title="First day",
            description=f"Empty: that of a training now. The pipeline's first day is {spec.first_partition}.",
        ),
        "to": Param(
            None, type=["null", "string"], format="date", title="Last day",
            description="Inclusive. Empty: that of a training now. Later days stay unseen, for the gate.",
        ),
        "trials": Param(
            spec.tune.trials, type="integer", minimum=2, maximum=10_000, title="Trials",
            description="How many the study has at its end. A study of the same days and settings goes on.",
        ),
        "budget_seconds": Param(
            int(spec.tune.budget_seconds or seconds), type="integer", minimum=1, title="Seconds",
            description="No trial begins that would end later. The best one is trained after that.",
        ),
        "workers": Param(
            None, type=["null", "integer"], minimum=1, maximum=256, title="Trials at a time",
            description="They share the processors. Empty: a quarter of the processors, 1 on a GPU.",
        ),
        "set": Param(
            None, type=["null", "string"], title="Held parameters",
            pattern=SETTINGS,
            description="Of every trial, for example max_depth=4 rounds=300.",
        ),
        "register": Param(
            True, type="boolean", title="Train a candidate", description="Train the best trial on all days, and register it."
        ),
        "why": Param(
            None, type=["null", "string"], title="Reason", description="Why, for the record of the decision. It may be empty."
        ),
        "insist": Param(
            False, type="boolean", title="Search all the same",
            description="In spite of a cool-down or missing labels. The month's budget still refuses.",
        ),
    }  # fmt: skip


@dataclass(frozen=True)
class SearchDays:
    """Template macros: the days of a search, and the day at whose cut-off its candidate could be judged."""

    spec: PipelineSpec

    def macros(self) -> dict[str, Any]:
        """The macros by their name in a template."""
        return {"search_window": self.window, "search_day": self.day}

    def window(self, first: str | None, last: str | None, run_after: datetime) -> Partitions:
        """The days of the form. What is left open is as of a training that begins now."""
        own = Windows(self.spec, "tune").train(None, run_after) if not (first and last) else None
        with refusing("tune", NEW_RUN):
            return Partitions.parse(first or str(own and own.start), last or str(own and own.end))

    def day(self, first: str | None, last: str | None, run_after: datetime) -> date:
        """The day for which the governor decides, as for a training on these days."""
        return as_of_training(self.spec, self.window(first, last, run_after).end)
