"""The DAG ``rollback``: a person takes the champion back, with a plan first and an approver's answer."""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param

from contrail.config.pipeline import parse_pipeline
from contrail.stages.sentences import sentence
from contrail_airflow.dags.policy import HEAVY_SLOTS, dag, start
from contrail_airflow.operators.results import result_of
from contrail_airflow.operators.rollback import RollbackOperator, RollbackPlanOperator, has_read

_PLAN = "planned(ti)"
_NO_REASON = "Say why: fill in `reason`. It goes into the record."


def rollback(pipeline: str) -> DAG:
    """Plan → rollback. It starts by hand alone, so it is never paused: in an emergency, nobody looks for a switch."""
    spec = parse_pipeline(pipeline).spec
    with dag(
        spec, "rollback", stages=[], room=timedelta(hours=spec.gate.approval_hours),
        schedule=None, start_date=start(spec), max_active_runs=1, is_paused_upon_creation=False,
        params=_params(), user_defined_macros={"planned": planned, "said": said, "has_read": has_read},
    ) as made:  # fmt: skip
        reason = {"reason": "{{ params.reason or '' }}"}
        plan = RollbackPlanOperator(
            task_id="plan", pipeline=pipeline, required={"reason": _NO_REASON},
            options={"to": "{{ params.version or '' }}", "take_back": "{{ params.take_back or '' }}", **reason},
        )  # fmt: skip
        plan >> RollbackOperator(
            task_id="rollback", pipeline=pipeline, pool_slots=HEAVY_SLOTS,
            # Those of the form first: a plan is an XCom, which more people may write.
            options={
                "to": "{{ params.version or " + _PLAN + ".to_version }}",
                "take_back": "{{ params.take_back or " + _PLAN + ".bad_version }}",
                "person": "{{ dag_run.triggering_user_name or 'unknown' }}",
                **reason,
            },
            ask_if="{{ '' if has_read(dag_run, params.version, params.take_back) else 'yes' }}",
            subject=f"{spec.title}: may version {{{{ params.version or {_PLAN}.to_version }}}} become champion again, "
            f"instead of version {{{{ params.take_back or {_PLAN}.bad_version }}}}?",
            body="{{ said(" + _PLAN + ") }}\n\n{{ dag_run.triggering_user_name or 'Somebody' }} asks: {{ params.reason }}",
            response_timeout=timedelta(hours=spec.gate.approval_hours),
        )  # fmt: skip
    return made


def _params() -> dict[str, Param]:
    """The form of a rollback."""
    return {
        # Airflow cannot start a run without values where one is required. The task `plan` refuses an empty one.
        "reason": Param(None, type=["null", "string"], title="Reason", description="Why, for the record. It must be given."),
        "version": Param(
            None, type=["null", "string"], pattern="^[0-9]*$", title="Version that becomes champion again",
            description="Its number. Empty: the champion before.",
        ),
        "take_back": Param(
            None, type=["null", "string"], pattern="^[0-9]*$", title="Version to take back",
            description="Its number. Empty: the champion now. An approver who names both versions is not asked again.",
        ),
    }  # fmt: skip


def planned(ti: Any) -> Any:
    """What the task ``plan`` found; a template macro."""
    return result_of(ti, "plan", "rollback-model")


def said(plan: Any) -> str:
    """A plan as a sentence, and the days that are scored again as a list in Markdown; a template macro."""
    if plan is None:  # the plan's task was skipped or has failed, and then this one does not run
        return ""
    days = [f"- {one.first} to {one.last}: {one.rows:,} rows" for one in plan.jobs]
    return "\n".join([sentence("rollback", plan), "", *days])
