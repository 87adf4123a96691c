"""The DAG ``backfill``: a range of days as a few large jobs, with a plan before and a difference report after."""

from typing import Any

from airflow.sdk import DAG, Param
from airflow.sdk.definitions.mappedoperator import MappedOperator

from contrail.config.pipeline import parse_pipeline
from contrail.config.spec import PipelineSpec
from contrail.stages import RANGE_STAGES, WITH_MODEL
from contrail_airflow.dags.policy import dag, publish, retries, slots, start
from contrail_airflow.operators.backfill import BackfillOperator, JobsOperator
from contrail_airflow.operators.results import plan_of

JOBS = ("features", "score")  # stages that may be split into several jobs; the others take the range whole
MODELS = {"champion now": "champion", "champion as of each date": "as-of"}
COMMITS = {
    "whole": "Everything at once, in one job",
    "chunk": "A job of some days at a time",
    "partition": "A day at a time",
}
# The range of days in the form.
_RANGE = ("{{ params['from'] or '' }}", "{{ params['to'] or params['from'] or '' }}")
_NOT_DRY = "{{ '' if params.dry_run else 'yes' }}"
_HOW = [
    "--commits",
    "{{ params.commits }}",
    "{{ '--chunk-days=' ~ params.chunk_days if params.chunk_days else '' }}",
]
_ASKED = ["--stages", "{{ params.stages | join(',') }}", "--model", "{{ model_ref(params.model) }}"]
_PINNED = ["--model", "{{ plan_of(ti).model }}"]


def backfill(pipeline: str) -> DAG:
    """Plan → each chosen stage → difference, and publish where analysts have a warehouse."""
    spec = parse_pipeline(pipeline).spec
    with dag(
        spec, "backfill", stages=RANGE_STAGES,
        schedule=None, start_date=start(spec), max_active_runs=1,
        params=_params(spec), user_defined_macros={"model_ref": model_ref, "plan_of": plan_of},
    ) as made:  # fmt: skip
        mode = "{{ '--dry-run' if params.dry_run else '--begin' }}"
        plan = previous = _part(spec, "plan", "yes", [mode, *_ASKED, *_HOW])
        for verb in RANGE_STAGES:
            unless = "{{ 'yes' if '" + verb + "' in params.stages and not params.dry_run else '' }}"
            how = [*(_PINNED if verb in WITH_MODEL else []), *_HOW]
            if verb in JOBS:
                jobs = JobsOperator(task_id=f"{verb}_jobs", stage=verb, skip_unless=unless)
                plan >> jobs
                task: Any = _jobs(spec, jobs, verb, how)
            else:
                task = _part(spec, verb, unless, how, pool_slots=slots(spec, verb))
            previous >> task
            previous = task
        previous >> [_part(spec, "difference", _NOT_DRY, []), *publish(spec, *_RANGE, **_asked(_NOT_DRY))]
    return made


def _jobs(spec: PipelineSpec, jobs: JobsOperator, verb: str, arguments: list[str]) -> MappedOperator:
    """A task for each job of a stage, side by side as far as the pool and the stage's target allow."""
    return BackfillOperator.partial(
        task_id=verb, verb=verb, pipeline=spec.name, arguments=arguments, trigger_rule="none_failed",
        pool_slots=slots(spec, verb), retries=retries(spec, verb),
    ).expand_kwargs(jobs.output)  # fmt: skip


def _part(
    spec: PipelineSpec, verb: str, skip_unless: str, arguments: list[str], pool_slots: int = 1
) -> BackfillOperator:
    return BackfillOperator(
        task_id=verb,
        verb=verb,
        pipeline=spec.name,
        partition_from=_RANGE[0],
        partition_to=_RANGE[1],
        arguments=arguments,
        pool_slots=pool_slots,
        retries=retries(spec, verb),
        no_partition=f"no days were given. Fill in `from`, for example {spec.first_partition}",
        **_asked(skip_unless),
    )


def _asked(unless: str) -> dict[str, Any]:
    # A stage that is not chosen is skipped, and the stages after it still run. After a failure they do not.
    return {"skip_unless": unless, "trigger_rule": "none_failed"}


def _params(spec: PipelineSpec) -> dict[str, Param]:
    """The form of a backfill."""
    return {
        "from": Param(
            None, type=["null", "string"], format="date", title="First day",
            description=f"The pipeline's first day is {spec.first_partition}.",
        ),
        "to": Param(
            None, type=["null", "string"], format="date", title="Last day",
            description="Inclusive. Empty: the first day alone.",
        ),
        "stages": Param(
            ["features", "score"], type="array", examples=list(RANGE_STAGES), title="Stages", minItems=1,
            items={"type": "string", "enum": list(RANGE_STAGES)},
            description="Stages to run, in the order of the chain. Scores follow features that are built again.",
        ),
        "model": Param(
            "champion now", type="string", title="Model", examples=[*MODELS, "challenger"],
            pattern=f"^({'|'.join([*MODELS, *MODELS.values(), 'challenger'])}|[0-9]+)$",
            description="champion now; champion as of each date (each day gets the model that was champion then); "
            "challenger; or the number of a version. The plan pins it.",
        ),
        "commits": Param(
            "whole", type="string", enum=list(COMMITS), values_display=COMMITS, title="Commits",
            description="What readers see at once. When the backfill is interrupted, it keeps the parts that are committed.",
        ),
        "chunk_days": Param(
            None, type=["null", "integer"], minimum=1, title="Days a job",
            description="For chunks and days: how many days one job computes. Empty: the environment's setting.",
        ),
        "dry_run": Param(False, type="boolean", title="Dry run", description="Show the plan and stop there."),
    }  # fmt: skip


def model_ref(asked: str) -> str:
    """A model of the form, as the command line names it; a template macro."""
    return MODELS.get(asked, asked)
