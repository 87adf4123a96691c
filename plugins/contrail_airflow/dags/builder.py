"""The DAGs of a pipeline, made from its spec: wiring only.

``build_dags`` is the one call of a DAG file. Five DAGs: ``__daily`` a day's chain up to its features, ``__score`` and
``__monitor`` after it by asset, ``__train`` for models, ``__backfill`` for a range as a few large jobs.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import (  # type: ignore[attr-defined]  # its stub lacks the deadline names
    DAG,
    Asset,
    AsyncCallback,
    CronTriggerTimetable,
    DeadlineAlert,
    DeadlineReference,
    Param,
    PartitionedAssetTimetable,
)
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.exceptions import AirflowFailException

from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.config.spec import PipelineSpec
from contrail.config.targets import DataprocTarget, VertexTarget
from contrail.config.training_windows import training_windows
from contrail.errors import SpecError
from contrail.stages import RANGE_STAGES, VERBS
from contrail_airflow.dags.notifiers import DeadlineNotifier, FailureNotifier, RunNotifier, StageNotifier
from contrail_airflow.operators.approval import PromoteOperator
from contrail_airflow.operators.stage import (
    QUEUE_MINUTES,
    BackfillOperator,
    DayOperator,
    JobsOperator,
    PublishOperator,
    RetrainOperator,
    StageOperator,
)
from contrail_airflow.scheduling.priority import EarlierPartitionFirst
from contrail_airflow.scheduling.retries import JitteredBackoff
from contrail_airflow.scheduling.timetables import ClosedPartitionTimetable

HEAVY_POOL, GPU_POOL = "heavy", "gpu"
# What a job that fills this machine takes in the pool `heavy`: all of its slots, so that no other stage runs beside it. A
# pool with fewer would never run it.
HEAVY_SLOTS = 2
JOBS = ("features", "score")  # the stages of a backfill that may be several jobs; the others take the range as it is
MODELS = {"champion now": "champion", "champion as of each date": "as-of"}
PUBLISH_FORMS = {
    "whole": "Everything at once, in one job",
    "chunk": "A job of some days at a time",
    "partition": "A day at a time",
}


@dataclass(frozen=True)
class _Builder:
    spec: PipelineSpec

    # ---- shared by every DAG ----

    def dag(self, suffix: str, doc: str, *verbs: str, room: timedelta = timedelta(), **arguments: Any) -> DAG:
        """A DAG with this pipeline's policy; ``room`` is what its runs may take beyond the usual.

        A run lasts besides as long as every attempt of those of its ``verbs`` that run elsewhere; who waits for it is told
        at its deadline all the same.
        """
        spec, schedule = self.spec, self.spec.schedule
        dag_id = f"{spec.name}__{suffix}"
        deadline = timedelta(minutes=schedule.deadline_minutes) + room
        attempts = sum((self._there(verb) * (1 + self._retries(verb)) for verb in verbs), timedelta())
        alert = {"dag_id": dag_id, "minutes": int(deadline.total_seconds() / 60)}
        return DAG(
            dag_id=dag_id,
            dag_display_name=f"{spec.title}: {suffix}",
            description=doc.splitlines()[0],
            doc_md=f"### {spec.title}: {suffix}\n\n{doc}\n\n{spec.description}\n\nOwner: {spec.owner}",
            tags=["contrail", spec.name, suffix],
            catchup=False,
            dagrun_timeout=timedelta(minutes=schedule.timeout_minutes * 3) + room + attempts,
            on_failure_callback=RunNotifier(),
            deadline=DeadlineAlert(
                reference=DeadlineReference.DAGRUN_QUEUED_AT,
                # In seconds, not as the timedelta of the signature: with one, Airflow 3.3 fails to clear any run whose
                # deadline has not passed (https://github.com/apache/airflow/issues/70368).
                interval=deadline.total_seconds(),  # type: ignore[arg-type]
                callback=AsyncCallback(DeadlineNotifier, kwargs=alert),
            ),
            default_args={
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
            },
            **arguments,
        )

    def stage(
        self, verb: str, *, task_id: str | None = None, operator: type[StageOperator] = StageOperator, **arguments: Any
    ) -> StageOperator:
        command = f"contrail stage {verb} --pipeline {self.spec.name} --from DATE --to DATE"
        doc = f"{VERBS[verb]}\n\nThe same from a shell: `{command}`"
        place: dict[str, Any] = {"retries": self._retries(verb)}
        if verb == "train":
            place |= {"pool": GPU_POOL} if self._trains_on_gpu() else {"pool_slots": self._slots(verb)}
        return operator(task_id=task_id or verb, verb=verb, pipeline=self.spec.name, doc_md=doc, **place, **arguments)

    def _slots(self, verb: str) -> int:
        """What a training or a range of days takes in the pool `heavy`; one to submit it where it runs elsewhere."""
        return 1 if self._remote(verb) else HEAVY_SLOTS

    def _remote(self, verb: str) -> VertexTarget | DataprocTarget | None:
        """Where a stage runs in the cloud; None where it runs on this machine."""
        target = settings().dispatch.target_of(self.spec.name, verb)
        return target if isinstance(target, VertexTarget | DataprocTarget) else None

    def publish(self, first: str, last: str, **arguments: Any) -> list[PublishOperator]:
        """The task that shows a range to the analysts; none where they query the lake."""
        if settings().analysts is None:
            return []
        doc = (
            "Copy predictions, performance and drift to the analysts' warehouse where they are different, and compare it "
            f"with the lake.\n\nThe same from a shell: `contrail publish --pipeline {self.spec.name} --from DATE --to DATE`"
        )
        return [
            PublishOperator(
                task_id="publish", verb="publish", pipeline=self.spec.name, doc_md=doc, partition_from=first,
                partition_to=last, **arguments,
            )
        ]  # fmt: skip

    def _trains_on_gpu(self) -> bool:
        """Whether trainings take turns on a GPU: this machine's, or one that is rented by the minute."""
        return self.spec.train.device == "cuda" or self._rents_gpu()

    def _rents_gpu(self) -> bool:
        target = self._remote("train")
        return bool(target and target.accelerator_type)

    def _use_what_is_rented(self) -> list[str]:
        """With ``auto`` few rows are trained on a CPU, and so are all where a GPU cannot be seen: beside one that is paid for."""
        return ["--set", "device=cuda"] if self._rents_gpu() and self.spec.train.device == "auto" else []

    def _training_room(self) -> timedelta:
        """An approver's time to answer, which any training may be asked to wait for, and that of each stage."""
        return sum(map(self._limit, ("train", "promote", "promote")), timedelta(hours=self.spec.gate.approval_hours))

    def _limit(self, verb: str) -> timedelta:
        """How long one attempt of a stage may take."""
        return timedelta(minutes=self.spec.schedule.timeout_minutes) + self._there(verb)

    def _there(self, verb: str) -> timedelta:
        """How long its job elsewhere may take, which may wait for machines too; nothing for a stage of this machine."""
        target = self._remote(verb)
        return timedelta(minutes=target.timeout_minutes + QUEUE_MINUTES if target else 0)

    def _retries(self, verb: str) -> int:
        """How often a stage is tried again; where spot machines come first, at least until it has run without them."""
        target = self._remote(verb)
        spot_attempts = target.spot_attempts if isinstance(target, VertexTarget) else 0
        return max(self.spec.schedule.retries, spot_attempts)

    def asset(self, table: str) -> Asset:
        return Asset(
            name=f"{self.spec.name}.{table}", group="contrail"
        )  # a URI would load every provider at parse time

    def end(self) -> datetime | None:
        last = self.spec.last_partition
        return datetime(last.year, last.month, last.day, 23, tzinfo=ZoneInfo(self.spec.timezone)) if last else None

    def start(self) -> datetime:
        first = self.spec.schedule.start_date
        return datetime(first.year, first.month, first.day, tzinfo=ZoneInfo(self.spec.timezone))

    # ---- the five DAGs ----

    def daily(self) -> DAG:
        doc = (
            "A day's chain up to its features, at the day's cut-off.\n\n"
            "The run for day D takes what is known then: D's own list of things to predict and the day before of "
            "every other table. Airflow's backfill of a range of days works and may be repeated; days pass each stage "
            "in order. If a day's task had to be tried again meanwhile, `contrail status` calls the features of the days "
            "after it stale: run the DAG `backfill` over them."
        )
        timetable = ClosedPartitionTimetable(
            self.spec.schedule.daily, timezone=self.spec.timezone, key_format="%Y-%m-%d"
        )
        dates: dict[str, Any] = {"start_date": self.start(), "end_date": self.end()}
        in_order: dict[str, Any] = {"max_active_tis_per_dag": 1, "weight_rule": EarlierPartitionFirst()}
        stages = ("ingest", "validate", "features")
        with self.dag("daily", doc, *stages, schedule=timetable, max_active_runs=2, **dates) as dag:
            late = self._late(**in_order)
            # Trouble with a past day is told, and is no reason to leave this one out.
            ingest = self.stage("ingest", arguments=["--as-of-cutoff"], trigger_rule="all_done", **in_order)
            validate = self.stage("validate", arguments=["--as-of-cutoff"], **in_order)
            features = self.stage("features", outlets=[self.asset("features")], **in_order)
            late >> ingest >> validate >> features
        return dag

    def _late(self, **arguments: Any) -> DayOperator:
        spec = self.spec
        again = "scores them again" if spec.score.late_data == "rescore" else "leaves their predictions as they are"
        doc = (
            f"Take in files of the last {spec.schedule.late_days} days that came late or anew; rebuilds the features that "
            f"they touch and {again}. What became different is in `corrections`. A backfill skips this.\n\n"
            f"The same from a shell: `contrail late --pipeline {spec.name} --on DATE`"
        )
        return DayOperator(
            task_id="late", verb="late", pipeline=spec.name, doc_md=doc, **arguments,
            skip_unless="{{ '' if run_id.startswith('backfill__') else 'yes' }}",
        )  # fmt: skip

    def score(self) -> DAG:
        doc = "Predictions of a day by the champion, as soon as the day's features are published."
        timetable = PartitionedAssetTimetable(assets=self.asset("features"))
        # Where late data score past days again, those days go to the analysts with this one.
        back = self.spec.schedule.late_days if self.spec.score.late_data == "rescore" else 0
        first = "{{ days_before(partition_key, " + str(back) + ") }}"
        with self.dag(
            "score",
            doc,
            "score",
            schedule=timetable,
            max_active_runs=2,
            user_defined_macros={"days_before": days_before},
        ) as dag:
            score = self.stage("score", outlets=[self.asset("predictions")])
            score >> self.publish(first, "{{ partition_key }}")
        return dag

    def monitor(self) -> DAG:
        days, back = self.spec.label.mature_after_days, self.spec.measured_again_days
        doc = (
            "Drift of a day's features and of the newest mature labels, the realised performance of the day whose labels "
            "have become mature, and whether to retrain.\n\n"
            f"Labels are mature after {days} more day(s), so the run for day D measures D-{days + 1}; with it those of the "
            f"{back} days until then that were never measured, or whose labels or predictions have changed since. The task "
            "`govern` "
            "decides from both, and says why in its log, in its XCom and in the table `governor`; `retrain` starts the "
            "DAG `train` as of the day when it so decides, and is skipped otherwise."
        )
        timetable = PartitionedAssetTimetable(assets=self.asset("predictions"))
        first, mature = ("{{ days_before(partition_key, " + str(n) + ") }}" for n in (days + back, days + 1))
        with self.dag(
            "monitor", doc, "drift", "performance", schedule=timetable, max_active_runs=2,
            user_defined_macros={"days_before": days_before},
        ) as dag:  # fmt: skip
            measured = [
                self.stage("drift"),
                self.stage("performance", partition_from=first, partition_to=mature, arguments=["--only-stale"]),
            ]
            measured >> self._govern() >> self._retrain()
            for publish in self.publish(first, "{{ partition_key }}"):
                measured >> publish
        return dag

    def _govern(self) -> DayOperator:
        command = f"contrail govern --pipeline {self.spec.name} --on DATE"
        doc = (
            f"Decide whether to retrain. A refusal is a decision, not a failure.\n\nThe same from a shell: `{command}`"
        )
        # One day at a time: each must see what the others decided.
        return DayOperator(
            task_id="govern", verb="govern", pipeline=self.spec.name, doc_md=doc, max_active_tis_per_dag=1
        )

    def _retrain(self) -> RetrainOperator:
        decided = "ti.xcom_pull(task_ids='govern')['details']['decision'] == 'retrain'"
        return RetrainOperator(
            task_id="retrain",
            trigger_dag_id=f"{self.spec.name}__train",
            trigger_run_id="governor__{{ partition_key }}",
            conf={"as_of": "{{ partition_key }}", "set": {}},
            logical_date=None,
            skip_when_already_exists=True,
            skip_unless="{{ 'yes' if " + decided + " else '' }}",
            doc_md="Start a training as of this day, when `govern` decided so. A training that was started is not again.",
        )

    def train(self) -> DAG:
        spec = self.spec
        doc = (
            "A new candidate, and the gate that decides whether it becomes champion.\n\n"
            f"The gate's rows are the {spec.gate.window_days} days before `as_of`; training reads up to "
            f"{spec.train.window_days} days before those, with {spec.train.embargo_days} days between. "
            "A refused candidate fails the task `judge` or `promote`; the champion stays.\n\n"
            f"First the task `govern` decides whether there may be a training now: `retrain` in `pipeline.yaml` has a cool-down "
            f"of {spec.retrain.cooldown_days} days, the labels that are needed and a budget of "
            f"{spec.retrain.monthly_trainings} trainings a month. Where it refuses, the other tasks are skipped; its log and "
            "the table `governor` say why. The DAG `monitor` has decided before it starts one.\n\n"
            + self._approval_doc()
        )
        cron = spec.schedule.train
        timetable = CronTriggerTimetable(cron, timezone=spec.timezone) if cron else None
        windows = _Windows(spec)
        macros = {"train_window": windows.train, "gate_window": windows.gate, "training_day": windows.day}
        params = {
            "as_of": Param(
                None, type=["null", "string"], format="date", title="As of",
                description="Use only what was known at the cut-off of this day. Empty: the day of the run.",
            ),
            "approval": Param(
                spec.gate.approval == "person", type="boolean", title="Wait for an approver",
                description="A pipeline whose gate asks for a person waits for one whatever is chosen here.",
            ),
            "set": Param(
                {}, type="object", title="XGBoost parameters", description='For example {"max_depth": 8}.'
            ),
            # Not `reason`: the run's would be filled into the approver's own.
            "why": Param("", type="string", title="Reason", description="Why, for the record of the decision."),
            "insist": Param(
                False, type="boolean", title="Train all the same",
                description="In spite of a cool-down or missing labels. The month's budget still refuses.",
            ),
        }  # fmt: skip
        asked = "params.as_of, dag_run.run_after"
        with self.dag(
            "train", doc, "train", "promote", "promote", room=self._training_room(), schedule=timetable,
            start_date=self.start(), end_date=self.end(), max_active_runs=1, params=params, user_defined_macros=macros,
        ) as dag:  # fmt: skip
            govern = self._may_train("{{ training_day(" + asked + ") }}")
            train = self.stage(
                "train",
                skip_unless=_ALLOWED,
                trigger_rule="none_failed",  # what the monitor has started is not judged twice
                partition_from="{{ train_window(" + asked + ").start }}",
                partition_to="{{ train_window(" + asked + ").end }}",
                arguments=[*self._use_what_is_rented(), "--set", "{{ params.set | tojson }}"],
            )
            version = "{{ (ti.xcom_pull(task_ids='train') or {}).get('details', {}).get('model_version', '') }}"
            gate: dict[str, Any] = {
                "verb": "promote",
                "partition_from": "{{ gate_window(" + asked + ").start }}",
                "partition_to": "{{ gate_window(" + asked + ").end }}",
            }
            judge = self.stage(
                task_id="judge", skip_unless=self._if_awaited(), **gate,
                arguments=["--model", version, "--approval", "awaited"],
            )  # fmt: skip
            promote = self.stage(
                **gate, operator=PromoteOperator, skip_unless=_ALLOWED,
                arguments=["--model", version],
                trigger_rule="none_failed",  # where nobody is asked, judge is skipped
                ask_if=self._if_awaited(),
                subject=f"{spec.title}: may version {version} become champion?",
                body="{{ (ti.xcom_pull(task_ids='judge') or {}).get('details', {}).get('record', '') }}",
                response_timeout=timedelta(hours=spec.gate.approval_hours),
            )  # fmt: skip
            govern >> train >> judge >> promote
        return dag

    def _may_train(self, day: str) -> DayOperator:
        doc = (
            "Decide whether there may be a training, and write down who asked for it and why. A refusal is a decision, not a "
            f"failure.\n\nThe same from a shell: `contrail govern --pipeline {self.spec.name} --on DATE --reason WHY`"
        )
        by_hand = "{{ '' if run_id.startswith('scheduled__') else "
        return DayOperator(
            task_id="govern", verb="govern", pipeline=self.spec.name, doc_md=doc, partition_from=day, partition_to=day,
            skip_unless="{{ '' if run_id.startswith('governor__') else 'yes' }}",
            arguments=[
                "--asked", "{{ 'schedule' if run_id.startswith('scheduled__') else 'by-hand' }}",
                "--training", "{{ run_id }}",
                by_hand + "'--person=' ~ (dag_run.triggering_user_name or 'unknown') }}",
                by_hand + "'--reason=' ~ params.why }}",
                by_hand + "'--insist' if params.insist else '' }}",
            ],
        )  # fmt: skip

    def _if_awaited(self) -> str:
        always = "true" if self.spec.gate.approval == "person" else "false"
        return "{{ 'yes' if " + always + " or params.approval else '' }}"

    def _approval_doc(self) -> str:
        asks = (
            "asks for a person" if self.spec.gate.approval == "person" else "asks for no person, unless you choose so"
        )
        return (
            f"The gate {asks}. Then the task `promote` waits, up to {self.spec.gate.approval_hours:g} hours, in Airflow "
            "under Required Actions, with the decision record; without an answer the candidate is refused."
        )

    def backfill(self) -> DAG:
        first = self.spec.first_partition
        doc = (
            "A range of days as a few large jobs, with a plan before and a difference report after.\n\n"
            "Give the first and last day, and choose stages and model. The task `plan` shows what would be done: exact "
            "partitions, rows, what is there already and which model made it, and the time; with *Dry run* nothing else "
            "runs. What already holds exactly the result is left as it is, so repeating a range is safe, and a run that was "
            "stopped goes on where it was: clear its failed task. The task `difference` writes a report to "
            f"`reports/{self.spec.name}/backfills`.\n\n"
            f"The same from a shell: `contrail backfill --pipeline {self.spec.name} --from DATE --to DATE --dry-run`"
        )
        params = {
            "from": Param(
                None, type=["null", "string"], format="date", title="First day",
                description=f"The pipeline's first day is {first}.",
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
                description="champion now; champion as of each date, so that each day has the model that was champion "
                "then; challenger; or the number of a version. Pinned when the plan is made.",
            ),
            "publish": Param(
                "whole", type="string", enum=list(PUBLISH_FORMS), values_display=PUBLISH_FORMS, title="Publish",
                description="What readers see at once. Interrupted, a part that is published is not computed again.",
            ),
            "chunk_days": Param(
                None, type=["null", "integer"], minimum=1, title="Days a job",
                description="For chunks and days: how many days one job computes. Empty: the environment's setting.",
            ),
            "dry_run": Param(False, type="boolean", title="Dry run", description="Show the plan and stop there."),
        }  # fmt: skip
        with self.dag(
            "backfill", doc, *RANGE_STAGES, schedule=None, start_date=self.start(), max_active_runs=1, params=params,
            user_defined_macros={"model_ref": model_ref},
        ) as dag:  # fmt: skip
            how = [
                "--publish",
                "{{ params.publish }}",
                "{{ '--chunk-days=' ~ params.chunk_days if params.chunk_days else '' }}",
            ]
            asked = ["--stages", "{{ params.stages | join(',') }}", "--model", "{{ model_ref(params.model) }}"]
            pinned = ["--model", "{{ ti.xcom_pull(task_ids='plan')['plan']['model'] }}"]
            mode = ["{{ '--dry-run' if params.dry_run else '--begin' }}"]
            plan = previous = self._part("plan", "Show what would be done.", "yes", [*mode, *asked, *how])
            for verb in RANGE_STAGES:
                model = pinned if verb in ("score", "drift") else []
                unless = "{{ 'yes' if '" + verb + "' in params.stages and not params.dry_run else '' }}"
                if verb in JOBS:
                    words = f"The jobs of {verb} that the plan has; each is a task."
                    jobs = JobsOperator(task_id=f"{verb}_jobs", stage=verb, skip_unless=unless, doc_md=words)
                    plan >> jobs
                    task: Any = self._jobs(jobs, verb, [*model, *how])
                else:
                    task = self._part(verb, VERBS[verb], unless, [*model, *how], pool_slots=self._slots(verb))
                previous >> task
                previous = task
            words = "Compare with what was published before: rows, score shift, decisions flipped."
            real = "{{ '' if params.dry_run else 'yes' }}"
            previous >> [self._part("difference", words, real, []), *self.publish(*_RANGE, **_asked(real))]
        return dag

    def _jobs(self, jobs: JobsOperator, verb: str, arguments: list[str]) -> MappedOperator:
        """A task for each job of a stage, side by side as far as the pool and the stage's target allow."""
        return BackfillOperator.partial(
            task_id=verb, verb=verb, pipeline=self.spec.name, doc_md=VERBS[verb], arguments=arguments,
            trigger_rule="none_failed", pool_slots=self._slots(verb), retries=self._retries(verb),
        ).expand_kwargs(jobs.output)  # fmt: skip

    def _part(
        self, verb: str, doc: str, skip_unless: str, arguments: list[str], pool_slots: int = 1
    ) -> BackfillOperator:
        return BackfillOperator(
            task_id=verb,
            verb=verb,
            pipeline=self.spec.name,
            doc_md=doc,
            partition_from=_RANGE[0],
            partition_to=_RANGE[1],
            arguments=arguments,
            pool_slots=pool_slots,
            retries=self._retries(verb),
            no_partition="no days were given. Fill in `from`, for example " + str(self.spec.first_partition),
            **_asked(skip_unless),
        )


# A training that the governor has not refused; the monitor's was decided before it began.
_DECISION = "(ti.xcom_pull(task_ids='govern') or {}).get('details', {}).get('decision', 'retrain')"
_ALLOWED = "{{ 'yes' if " + _DECISION + " == 'retrain' else '' }}"
# The days that the backfill's form asks for.
_RANGE = ("{{ params['from'] or '' }}", "{{ params['to'] or params['from'] or '' }}")


def _asked(unless: str) -> dict[str, Any]:
    # A stage that was not asked for is skipped; those after it still run, those after a failure do not.
    return {"skip_unless": unless, "trigger_rule": "none_failed"}


@dataclass(frozen=True)
class _Windows:
    """Template macros: the windows of a training run."""

    spec: PipelineSpec

    def _both(self, as_of: str | None, run_after: datetime) -> Any:
        day = date.fromisoformat(as_of) if as_of else run_after.astimezone(ZoneInfo(self.spec.timezone)).date()
        try:
            return training_windows(self.spec, day)
        except SpecError as error:
            raise AirflowFailException(str(error)) from error  # no retry: the day asked for is wrong

    def train(self, as_of: str | None, run_after: datetime) -> Any:
        return self._both(as_of, run_after).train

    def gate(self, as_of: str | None, run_after: datetime) -> Any:
        return self._both(as_of, run_after).gate

    def day(self, as_of: str | None, run_after: datetime) -> date:
        """The day at whose cut-off it trains: of a pipeline that has ended, the one after its last."""
        return self.gate(as_of, run_after).end + timedelta(days=1)


def model_ref(asked: str) -> str:
    """The command line's word for a model of the form; a template macro."""
    return MODELS.get(asked, asked)


def days_before(partition_key: str, days: int) -> str:
    """The partition ``days`` before another, as text; a template macro."""
    return str(date.fromisoformat(partition_key) - timedelta(days=days))


def build_dags(name: str) -> dict[str, DAG]:
    """The DAGs of a pipeline by their id, for ``globals().update()`` in a DAG file."""
    builder = _Builder(load_pipeline(name).spec)
    dags = [builder.daily(), builder.score(), builder.monitor(), builder.train(), builder.backfill()]
    return {dag.dag_id: dag for dag in dags}
