"""The price table: what a service asks for a unit of use, on a date. Typed, checked when loaded.

What a job costs is reckoned in ``contrail.methods.cost``; prices that a pipeline or a stage would set do not belong here.
"""

from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from contrail.config.problems import problems_of, said
from contrail.config.yaml_file import read_yaml
from contrail.errors import NoPriceError, SpecError
from contrail.frozen import Frozen

Price = Annotated[float, Field(gt=0, allow_inf_nan=False, description="In the table's currency.")]
Tier = Literal["standard", "premium"]
MONTH_HOURS = 730.0  # Google's month: its price of a GB-month is 730 times that of a GB-hour


class BatchPrices(Frozen):
    """A tier of Dataproc Serverless: a DCU for an hour, a GB of shuffle storage for a month, an accelerator for an hour."""

    dcu_hour: Price
    shuffle_gb_month: Price
    accelerator_hours: dict[str, Price] = Field(default={})


class HourPrices(Frozen):
    """A machine or an accelerator for an hour; without ``spot_hour`` nobody knows what it costs on a spot machine."""

    hour: Price
    spot_hour: Price | None = None


class VertexPrices(Frozen):
    """Machines by their type, with the accelerators that they come with; accelerators of n1 machines by theirs.

    ``fee`` is the share of the on-demand price that Vertex AI adds to each hour, on spot machines too.
    """

    fee: float = Field(default=0, ge=0, lt=1)
    machines: dict[str, HourPrices] = Field(default={})
    accelerators: dict[str, HourPrices] = Field(default={})


class Standing(Frozen):
    """Something that costs all month, whatever the pipelines do: ``count`` units, of which ``free`` cost nothing.

    A unit has a price for an hour or for a month. ``environments`` are those that have it.
    """

    environments: list[str] = Field(min_length=1)
    count: float = Field(default=1, gt=0)
    free: float = Field(default=0, ge=0)
    hour: Price | None = None
    month: Price | None = None

    @property
    def month_cost(self) -> float:
        """The cost of a month, in the table's currency."""
        unit = self.month if self.hour is None else self.hour * MONTH_HOURS
        return max(0.0, self.count - self.free) * (unit or 0.0)

    @model_validator(mode="after")
    def _one_price(self) -> Self:
        if (self.hour is None) == (self.month is None):
            raise ValueError("give the price of a unit for an hour or for a month, one of them")
        return self


class PriceTable(Frozen):
    """One file of ``include/prices``. ``read_on`` is the day on which the prices were read."""

    file: str
    read_on: date
    region: str
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    sources: list[Annotated[str, Field(pattern=r"^https://")]] = Field(min_length=1)
    dataproc: dict[Tier, BatchPrices] = Field(default={})
    vertex: VertexPrices = VertexPrices()
    always_on: dict[str, Standing] = Field(default={}, description="What costs all month, whatever runs.")

    def __str__(self) -> str:
        return f"{self.file} of {self.read_on}, {self.region}"

    def batch(self, tier: Tier) -> BatchPrices:
        """The prices of a tier of Dataproc Serverless.

        Raises:
            NoPriceError: when the table has none.
        """
        if tier not in self.dataproc:
            raise NoPriceError(f"no price for Dataproc Serverless, tier {tier}, in {self.file}")
        return self.dataproc[tier]

    def hour(self, name: str, known: dict[str, HourPrices], spot: bool) -> float:
        """An hour of a machine or an accelerator of this table, with Vertex AI's fee.

        Raises:
            NoPriceError: when the table has none.
        """
        found = known.get(name)
        price = None if found is None else found.spot_hour if spot else found.hour
        if found is None or price is None:
            raise NoPriceError(f"no price for {name}{' on a spot machine' if spot else ''} in {self.file}")
        return price + self.vertex.fee * found.hour

    def standing(self, environment: str) -> dict[str, float]:
        """What an environment costs in a month without any job, by thing; empty where the table does not know it."""
        return {what: one.month_cost for what, one in self.always_on.items() if environment in one.environments}


def load_prices(path: Path) -> PriceTable:
    """Read a price table.

    Raises:
        SpecError: naming the file, the place and the rule that is broken.
    """
    if not path.exists():
        raise SpecError(f"dispatch.prices: there is no {path}")
    file = read_yaml(path)
    try:
        return PriceTable.model_validate({**file.values, "file": path.name})
    except ValidationError as error:
        raise SpecError(said(path, problems_of(error, PriceTable), file)) from error
