"""Where a job may run: this machine, a Spark cluster, Dataproc Serverless, Vertex AI. Typed, checked when loaded.

``contrail.dispatch`` writes a job for a target. The environment file says which stage goes where.
"""

import re
from pathlib import Path
from typing import Annotated, Literal, Self, cast

from pydantic import Field, ValidationError, model_validator

from contrail.config.machines import MACHINES, N1_ACCELERATORS, NOT_PEERED, lacking
from contrail.config.runtimes import unfit
from contrail.frozen import Frozen

_ATTACHMENT = r"^projects/[^/]+/regions/([^/]+)/networkAttachments/[^/]+$"


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

    @property
    def regions(self) -> tuple[str, ...]:
        """Where its jobs may be."""
        return (self.region,)

    @property
    def longest_minutes(self) -> int:
        """How long Airflow waits for a job: its own time, and an hour for machines and for its end."""
        return self.timeout_minutes + 60


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


class _Machine(Frozen):
    """A machine of Vertex AI with its accelerators."""

    machine_type: str
    accelerator_type: str | None = None
    accelerator_count: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _pair(self) -> Self:
        has = (self.accelerator_type, self.accelerator_count)
        if self.machine_type in MACHINES:
            kind, count = wanted = MACHINES[self.machine_type]
            if has != wanted:
                raise ValueError(f"{self.machine_type} comes with accelerator_type {kind}, accelerator_count {count}")
        elif self.machine_type.startswith(("g2-", "g4-", "a2-", "a3-", "a4-", "a4x-")):
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


class Place(_Machine):
    """Where one attempt of a job runs: a region, a machine in it, and how that machine reaches the network.

    Raises:
        ValueError: for a region that lacks the machine, and for a network that the machine cannot reach in this way.
    """

    region: str
    spot: bool = False
    network: str | None = None
    network_attachment: str | None = None

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        if said := lacking(self.machine_type, self.region):
            raise ValueError(said)
        if self.network and self.network_attachment:
            raise ValueError("network and network_attachment exclude each other: peering, or Private Service Connect")
        if self.network and self.accelerator_type in NOT_PEERED:
            raise ValueError(
                f"Vertex AI does not peer {self.accelerator_type} with a network. "
                "Leave network out, and give network_attachment (docs/gcp.md)"
            )
        attached = re.match(_ATTACHMENT, self.network_attachment or "")
        if attached and attached[1] != self.region:
            raise ValueError(
                f"network_attachment is in {attached[1]}; a job in {self.region} needs one of its own region"
            )
        return self

    def __str__(self) -> str:
        card = f" with {self.accelerator_count} {self.accelerator_type}" if self.accelerator_count else ""
        return f"{self.machine_type}{card}{' on spot' if self.spot else ''} in {self.region}"


class Fallback(Frozen):
    """Another place to try. What it leaves out is as the target has it; a machine comes with its own accelerators."""

    region: str | None = None
    machine_type: str | None = None
    accelerator_type: str | None = None
    accelerator_count: int | None = Field(default=None, ge=0)
    spot: bool = False
    network_attachment: str | None = Field(default=None, pattern=_ATTACHMENT)

    def instead_of(self, place: Place) -> Place:
        """This place, filled from the target's own."""
        own = self.model_dump(exclude_none=True)
        if self.machine_type:
            own = {"accelerator_type": None, "accelerator_count": 0, **own}
        if self.network_attachment:
            own = {"network": None, **own}
        return Place.model_validate({**place.model_dump(), **own})


class VertexTarget(_GoogleTarget, _Machine):
    """A Vertex AI custom job of one machine.

    The first ``spot_attempts`` attempts run on spot machines, the next one on demand. Each further attempt runs at the
    next of the ``fallbacks``. After the last of them it begins again, on demand.
    """

    kind: Literal["vertex"]
    timeout_minutes: int = Field(default=120, ge=10, le=7 * 24 * 60)  # a custom job's time is 7 days
    queue_minutes: int = Field(default=15, ge=5, le=24 * 60, description="How long a job may wait for a machine.")
    spot_attempts: int = Field(default=0, ge=0)
    fallbacks: tuple[Fallback, ...] = Field(default=(), description="Where to try next, in this order.")
    boot_disk_gb: int = Field(default=100, ge=100, le=64_000)
    network: str | None = Field(
        default=None, description="projects/NUMBER/global/networks/NAME, for private addresses."
    )
    ip_ranges: tuple[str, ...] = Field(default=(), description="Names of the peering's ranges that its jobs use.")
    network_attachment: str | None = Field(
        default=None, pattern=_ATTACHMENT, description="projects/…/regions/…/networkAttachments/…, instead of network."
    )

    @property
    def size(self) -> str:
        """What a person would call it, for a first attempt."""
        return f"Vertex AI, {self.machine_type}{' on spot' if self.place(1).spot else ''}"

    @property
    def attempts(self) -> int:
        """How many attempts try every place once."""
        return self.spot_attempts + 1 + len(self.fallbacks)

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions of all places, its own first."""
        return tuple(dict.fromkeys([self.region, *(other.region for other in self.fallbacks if other.region)]))

    @property
    def longest_minutes(self) -> int:
        """As of every target, and the time that a job may wait for a machine."""
        return super().longest_minutes + self.queue_minutes

    def place(self, attempt: int) -> Place:
        """Where this attempt of a piece of work runs. Attempts count from 1."""
        own = Place.model_validate(self.model_dump(include=Place.model_fields.keys() - {"spot"}))
        if attempt <= self.spot_attempts:
            return own.model_copy(update={"spot": True})
        turn = (attempt - self.spot_attempts - 1) % (1 + len(self.fallbacks))
        return self.fallbacks[turn - 1].instead_of(own) if turn else own

    @model_validator(mode="after")
    def _places(self) -> Self:
        if self.ip_ranges and not self.network:
            raise ValueError("ip_ranges are those of a peering: give network too, or leave them out")
        for number in range(1 + len(self.fallbacks)):
            try:
                self.place(self.spot_attempts + 1 + number)
            except ValidationError as error:
                where = f"fallbacks.{number - 1}: " if number else ""
                raise ValueError(where + error.errors()[0]["msg"].removeprefix("Value error, ")) from None
        return self


Stage = Literal["ingest", "validate", "features", "train", "tune", "promote", "score", "drift", "performance"]
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
