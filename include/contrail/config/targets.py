"""Where a job may run: this machine, a Spark cluster, Dataproc Serverless, Vertex AI. Typed, checked when loaded.

``contrail.dispatch`` writes a job for a target. The environment file says which stage goes where.
"""

from pathlib import Path
from typing import Annotated, Literal, Self, cast

from pydantic import Field, model_validator

from contrail.config.runtimes import unfit
from contrail.frozen import Frozen

# Machines of Vertex AI that come with accelerators: the type, and how many each size has.
# Source: Google Cloud, "Configure compute resources for custom training", machine and GPU types.
_L4, _A100, _H100 = "NVIDIA_L4", "NVIDIA_TESLA_A100", "NVIDIA_H100_80GB"
MACHINES: dict[str, tuple[str, int]] = {
    **{f"g2-standard-{cores}": (_L4, 1) for cores in (4, 8, 12, 16, 32)},
    "g2-standard-24": (_L4, 2),
    "g2-standard-48": (_L4, 4),
    "g2-standard-96": (_L4, 8),
    **{f"a2-highgpu-{count}g": (_A100, count) for count in (1, 2, 4, 8)},
    "a2-megagpu-16g": (_A100, 16),
    **{f"a2-ultragpu-{count}g": ("NVIDIA_A100_80GB", count) for count in (1, 2, 4, 8)},
    **{f"a3-highgpu-{count}g": (_H100, count) for count in (1, 2, 4, 8)},
    "a3-megagpu-8g": ("NVIDIA_H100_MEGA_80GB", 8),
    "a3-ultragpu-8g": ("NVIDIA_H200_141GB", 8),
}
N1_ACCELERATORS = {
    "NVIDIA_TESLA_T4": (1, 2, 4),
    "NVIDIA_TESLA_V100": (1, 2, 4, 8),
    "NVIDIA_TESLA_P4": (1, 2, 4),
    "NVIDIA_TESLA_P100": (1, 2, 4),
}


class LocalTarget(Frozen):
    """A process on the machine of the task."""

    kind: Literal["local"] = "local"


class SparkTarget(Frozen):
    """A process on the machine of the task, whose engine is a Spark master or a Spark Connect server."""

    kind: Literal["spark"]
    master: str = Field(pattern=r"^(spark|sc|yarn|k8s|local)", description="spark://host:7077, sc://host:15002, …")


class _GoogleTarget(Frozen):
    project: str
    region: str
    service_account: str
    image: str = Field(description="Job image in Artifact Registry, made by the Dockerfile's target `job`.")
    timeout_minutes: int = Field(default=120, ge=10)
    connection: str = Field(default="google_cloud_default", description="Airflow's connection that submits.")


class DataprocTarget(_GoogleTarget):
    """A Dataproc Serverless batch."""

    kind: Literal["dataproc"]
    subnetwork: str
    runtime_version: str = Field(default="3.0", pattern=r"^[1-9][0-9]*\.[0-9]+$", description="Major and minor.")
    timeout_minutes: int = Field(default=120, ge=10, le=14 * 24 * 60)
    properties: dict[Annotated[str, Field(pattern=r"^(spark|dataproc)\.")], str] = Field(default={})

    @model_validator(mode="after")
    def _runs_our_code(self) -> Self:
        if said := unfit(self.runtime_version):
            raise ValueError(said)
        return self

    @property
    def size(self) -> str:
        """What a person would call it."""
        return f"Dataproc Serverless, {self.properties.get('spark.executor.instances', '2')} executors"

    @property
    def accelerator_type(self) -> str:
        """The GPU that each executor has; empty for none."""
        return self.properties.get("spark.dataproc.executor.resource.accelerator.type", "")


class VertexTarget(_GoogleTarget):
    """A Vertex AI custom job of one machine. The first ``spot_attempts`` attempts run on spot machines."""

    kind: Literal["vertex"]
    machine_type: str
    accelerator_type: str | None = None
    accelerator_count: int = Field(default=0, ge=0)
    spot_attempts: int = Field(default=0, ge=0)
    boot_disk_gb: int = Field(default=100, ge=100)
    network: str | None = Field(
        default=None, description="projects/NUMBER/global/networks/NAME, for private addresses."
    )

    @property
    def size(self) -> str:
        """What a person would call it, for a first attempt."""
        return f"Vertex AI, {self.machine_type}{' on spot' if self.on_spot(1) else ''}"

    def on_spot(self, attempt: int) -> bool:
        """Whether this attempt of a piece of work, counted from 1, runs on a spot machine."""
        return attempt <= self.spot_attempts

    @model_validator(mode="after")
    def _pair(self) -> Self:
        has = (self.accelerator_type, self.accelerator_count)
        if self.machine_type in MACHINES:
            kind, count = wanted = MACHINES[self.machine_type]
            if has != wanted:
                raise ValueError(f"{self.machine_type} comes with accelerator_type {kind}, accelerator_count {count}")
        elif self.machine_type.startswith(("g2-", "a2-", "a3-")):
            raise ValueError(f"no machine type {self.machine_type} is known; those with a GPU: {', '.join(MACHINES)}")
        elif bool(self.accelerator_type) != bool(self.accelerator_count):
            raise ValueError("accelerator_type and accelerator_count go together")
        elif self.accelerator_type and not self.machine_type.startswith("n1-"):
            raise ValueError(f"{self.machine_type} takes no accelerator; only n1-* and {', '.join(MACHINES)} do")
        elif self.accelerator_type and self.accelerator_type not in N1_ACCELERATORS:
            raise ValueError(f"n1 machines take {', '.join(N1_ACCELERATORS)}, not {self.accelerator_type}")
        elif self.accelerator_type and self.accelerator_count not in N1_ACCELERATORS[self.accelerator_type]:
            known = ", ".join(map(str, N1_ACCELERATORS[self.accelerator_type]))
            raise ValueError(f"n1 machines take {known} of {self.accelerator_type}, not {self.accelerator_count}")
        return self


Stage = Literal["ingest", "validate", "features", "train", "promote", "score", "drift", "performance"]
Target = Annotated[LocalTarget | SparkTarget | DataprocTarget | VertexTarget, Field(discriminator="kind")]
Budget = Annotated[float, Field(ge=0, allow_inf_nan=False)]
LOCAL = "local"


class DispatchSettings(Frozen):
    """Which stage runs where: ``stages`` names a target for a stage, ``pipelines`` another one for a pipeline's stage.

    A stage without a target runs on this machine. ``jobs_uri`` is the folder of remote jobs: their code, results and
    receipts. ``prices`` is a file of ``include/prices``; with it, each remote job has an estimate first and a cost later.
    """

    targets: dict[str, Target] = Field(default={})
    stages: dict[Stage, str] = Field(default={})
    pipelines: dict[str, dict[Stage, str]] = Field(default={})
    jobs_uri: str | None = None
    labels: dict[
        Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")],
        Annotated[str, Field(pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$")],
    ] = Field(
        # Dataproc takes 32 labels, of which Contrail uses 9, and no underscore in any. Vertex AI takes more.
        default={},
        max_length=23,
        description="Of every remote job, for example team and cost-centre.",
    )
    prices: Path | None = Field(default=None, description="Price table. Without one, jobs have no cost.")
    monthly_budget: Budget | None = Field(default=None, description="Of each pipeline, in the table's currency.")
    monthly_budgets: dict[str, Budget] = Field(default={}, description="Of the pipelines that have another one.")

    @model_validator(mode="after")
    def _known(self) -> Self:
        for where, chosen in {
            "stages": self.stages,
            **{f"pipelines.{n}": p for n, p in self.pipelines.items()},
        }.items():
            for stage, name in chosen.items():
                if name not in self.targets and name != LOCAL:
                    known = ", ".join([*self.targets, LOCAL])
                    raise ValueError(f"{where}.{stage}: no target '{name}'; targets: {known}")
        if not self.jobs_uri and any(target.kind in ("dataproc", "vertex") for target in self.targets.values()):
            raise ValueError("jobs_uri is needed: remote jobs take their code from there and leave their results")
        if not self.prices and (self.monthly_budget is not None or self.monthly_budgets):
            raise ValueError("monthly_budget needs prices: without a price table nobody knows what a job costs")
        return self

    def target_name(self, pipeline: str, stage: str) -> str:
        """The name of the target of a pipeline's stage."""
        return {**self.stages, **self.pipelines.get(pipeline, {})}.get(cast(Stage, stage), LOCAL)

    def target_of(self, pipeline: str, stage: str) -> Target:
        """Where a stage of a pipeline runs."""
        return self.targets.get(self.target_name(pipeline, stage)) or LocalTarget()

    def budget_of(self, pipeline: str) -> float | None:
        """What the remote jobs of a pipeline may cost in a month; None where nobody has set it."""
        return self.monthly_budgets.get(pipeline, self.monthly_budget)
