"""The policy that every DAG keeps: owner, retries, deadlines, pools, words, and where a stage runs.

What a DAG does belongs in its own module.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import (  # type: ignore[attr-defined]  # its stub lacks the deadline names
    DAG,
    Asset,
    AsyncCallback,
    DeadlineAlert,
    DeadlineReference,
    Param,
)
from airflow.sdk.definitions.mappedoperator import MappedOperator

from contrail.config.closed_days import newest_closed
from contrail.config.settings import settings
from contrail.config.spec import PipelineSpec
from contrail.config.targets import DataprocTarget, VertexTarget
from contrail.partitions import Partitions
from contrail_airflow.dags.notifiers import (
    DeadlineNotifier,
    DecisionNotifier,
    FailureNotifier,
    QuestionNotifier,
    RunNotifier,
    StageNotifier,
)
from contrail_airflow.dags.words import Words, words_of
from contrail_airflow.operators.day import PublishOperator
from contrail_airflow.operators.ending import refusing
from contrail_airflow.operators.stage import NEW_RUN, StageOperator
from contrail_airflow.scheduling.retries import JitteredBackoff

HEAVY_POOL, GPU_POOL = "heavy", "gpu"
# A job that fills this machine takes all slots of the pool `heavy`, so that no other stage runs beside it. A pool with
# fewer slots would never run it.
HEAVY_SLOTS = 2

# The view of Airflow's page that shows what a DAG does.
_VIEWS = {
    "daily": "board",
    "score": "predictions",
    "monitor": "predictions",
    "train": "models",
    "tune": "models",
    "backfill": "board",
    "replay": "data",
    "rollback": "models",
    "maintain": "data",
}


@contextmanager
def dag(
    spec: PipelineSpec, name: str, *, stages: Iterable[str], room: timedelta = timedelta(), **arguments: Any
) -> Iterator[DAG]:
    """A DAG with the pipeline's policy; the tasks of the block get their words from the DAG's Markdown file.

    Args:
        spec: The pipeline.
        name: The DAG's name within the pipeline, also that of its Markdown file.
        stages: The stages that it runs. A run with a remote job has extra time for all attempts of that job. Its
            deadline stays the same, so people hear of a late remote job.
        room: The time that a run may take beyond the usual.
        arguments: As for Airflow's ``DAG``.
    """
    settings().outside("DAGs run")
    words = words_of(name, spec)
    attempts = sum((there(spec, verb) * (1 + retries(spec, verb)) for verb in stages), timedelta())
    with DAG(
        dag_id=f"{spec.name}__{name}",
        description=words.dag.splitlines()[0],
        doc_md="\n\n".join(
            [
                f"### {spec.title}: {name}",
                words.dag,
                _links(spec, name),
                spec.description.strip(),
                f"Owner: {spec.owner}",
            ]
        ),
        tags=["contrail", spec.name, name],
        catchup=False,
        dagrun_timeout=timedelta(minutes=spec.schedule.timeout_minutes * 3) + room + attempts,
        on_failure_callback=RunNotifier(),
        deadline=_deadline(spec, name, room),
        default_args=_of_every_task(spec),
        **arguments,
    ) as made:
        yield made
    _write(words, made)


def _links(spec: PipelineSpec, name: str) -> str:
    """Links to the page's view of what a DAG does, and to its documentation where somebody publishes the site."""
    view = _VIEWS[name]
    # Without a leading slash, it follows Airflow's own base URL.
    links = [f"[{view.capitalize()} on the page Contrail](plugin/contrail/contrail/?pipeline={spec.name}&view={view})"]
    if published := settings().docs_url:
        links.append(f"[Documentation]({published.rstrip('/')}/docs/dags.html)")
    return " · ".join(links)


def _deadline(spec: PipelineSpec, name: str, room: timedelta) -> DeadlineAlert:
    after = timedelta(minutes=spec.schedule.deadline_minutes) + room
    alert = {"dag_id": f"{spec.name}__{name}", "minutes": int(after.total_seconds() / 60)}
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        # In seconds, not as the timedelta of the signature: with one, Airflow 3.3 fails to clear any run whose
        # deadline has not passed (https://github.com/apache/airflow/issues/70368).
        interval=after.total_seconds(),  # type: ignore[arg-type]
        callback=AsyncCallback(DeadlineNotifier, kwargs=alert),
    )


def _of_every_task(spec: PipelineSpec) -> dict[str, Any]:
    schedule = spec.schedule
    return {
        "owner": spec.owner,
        "retries": schedule.retries,
        "retry_delay": timedelta(seconds=schedule.retry_delay_seconds),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=15),
        "retry_policy": JitteredBackoff(),
        "execution_timeout": timedelta(minutes=schedule.timeout_minutes),
        "pool": HEAVY_POOL,
        "on_success_callback": StageNotifier(),
        "on_failure_callback": FailureNotifier(),
        "on_skipped_callback": DecisionNotifier(),
        "on_question_callback": QuestionNotifier(),
    }


def _write(words: Words, made: DAG) -> None:
    for task in made.tasks:
        if isinstance(task, MappedOperator):
            task.partial_kwargs["doc_md"] = words.tasks[task.task_id]
        else:
            task.doc_md = words.tasks[task.task_id]


def stage(
    spec: PipelineSpec,
    verb: str,
    *,
    task_id: str | None = None,
    operator: type[StageOperator] = StageOperator,
    **arguments: Any,
) -> StageOperator:
    """The task that runs a stage; its id is the verb, and its partition the run's day, unless others are given."""
    own = {"partition_from": DAY, "partition_to": DAY, "retries": retries(spec, verb), **arguments}
    return operator(task_id=task_id or verb, verb=verb, pipeline=spec.name, **own)


def publish(spec: PipelineSpec, first: str, last: str, **arguments: Any) -> list[PublishOperator]:
    """The task that copies a range to the analysts' warehouse; no task where analysts query the lake."""
    if settings().analysts is None:
        return []
    return [
        PublishOperator(
            task_id="publish", verb="publish", pipeline=spec.name, partition_from=first, partition_to=last, **arguments
        )
    ]


def slots(spec: PipelineSpec, verb: str) -> int:
    """Slots of the pool `heavy` for a training or a range of days. A remote job takes one, for its submission."""
    return 1 if remote(spec, verb) else HEAVY_SLOTS


def place(spec: PipelineSpec, verb: str) -> dict[str, Any]:
    """The pool of a training or a search. They take turns on a GPU, here or rented by the minute. Others fill the machine."""
    on_gpu = spec.train.device == "cuda" or _rents_gpu(spec, verb)
    return {"pool": GPU_POOL} if on_gpu else {"pool_slots": slots(spec, verb)}


def use_what_is_rented(spec: PipelineSpec, verb: str) -> list[str]:
    """Keep trainings on their rented GPU. ``auto`` may choose the CPU, and the GPU would cost money all the same."""
    return ["device=cuda"] if _rents_gpu(spec, verb) and spec.train.device == "auto" else []


def _rents_gpu(spec: PipelineSpec, verb: str) -> bool:
    target = remote(spec, verb)
    return bool(target and target.accelerator_type)


def remote(spec: PipelineSpec, verb: str) -> VertexTarget | DataprocTarget | None:
    """Where a stage runs in the cloud; None where it runs on this machine."""
    target = settings().dispatch.target_of(spec.name, verb)
    return target if isinstance(target, VertexTarget | DataprocTarget) else None


def limit(spec: PipelineSpec, verb: str) -> timedelta:
    """How long one attempt of a stage may take."""
    return timedelta(minutes=spec.schedule.timeout_minutes) + there(spec, verb)


def there(spec: PipelineSpec, verb: str) -> timedelta:
    """How long a stage's remote job may take, with its wait for machines. Zero for a stage of this machine."""
    target = remote(spec, verb)
    return timedelta(minutes=target.longest_minutes if target else 0)


def retries(spec: PipelineSpec, verb: str) -> int:
    """How often a stage is tried again: at least as often as its target needs to try each of its places once."""
    target = remote(spec, verb)
    again = target.attempts - 1 if isinstance(target, VertexTarget) else 0
    return max(spec.schedule.retries, again)


def asset(spec: PipelineSpec, table: str) -> Asset:
    """The asset of a pipeline's table. It has no URI: one would load every provider when a DAG is parsed."""
    return Asset(name=f"{spec.name}.{table}", group="contrail")


def start(spec: PipelineSpec) -> datetime:
    """The first day of the schedule."""
    first = spec.schedule.start_date
    return datetime(first.year, first.month, first.day, tzinfo=ZoneInfo(spec.timezone))


# The day of a run: its partition, or the day in the form, or the newest day whose cut-off has passed.
RUN_DAY = "run_day(partition_key, params.day, dag_run.run_after)"
DAY = "{{ " + RUN_DAY + " }}"


def day_form(spec: PipelineSpec, **macros: Any) -> dict[str, Any]:
    """What a DAG needs whose runs have a day: the form in which a person chooses it, and the macro that reads it."""
    asked = Param(
        None, type=["null", "string"], format="date", title="Day",
        description="The partition to run. Empty: the newest day whose cut-off has passed"
        + (f", at most {spec.last_partition}." if spec.last_partition else ".")
        + f" The pipeline's first day is {spec.first_partition}.",
    )  # fmt: skip
    return {"params": {"day": asked}, "user_defined_macros": {"run_day": partial(run_day, spec), **macros}}


def run_day(spec: PipelineSpec, partition_key: str | None, asked: str | None, run_after: datetime) -> str:
    """The day of a run; a template macro."""
    if partition_key or asked:
        return partition_key or str(asked)
    return str(newest_closed(spec, run_after))


def days_before(verb: str, partition_key: str, days: int) -> str:
    """The partition ``days`` before another, as text; a template macro of the task of a verb."""
    with refusing(verb, NEW_RUN):
        return str(Partitions.parse(partition_key).shift(-days).start)
