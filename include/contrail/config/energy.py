"""What a training's energy is estimated by: watts of processors, and the carbon of a grid's electricity.

The defaults are of no machine in particular. An environment file gives its own, with their source, under ``energy``.
"""

from pydantic import Field

from contrail.frozen import Frozen


class EnergySettings(Frozen):
    """The factors of an estimate, each with its source.

    ``overhead`` is the energy of the building for each unit of the machine (PUE). Memory, disks and network are not
    counted.
    """

    core_watts: float = Field(default=12.0, gt=0, description="Of a busy processor core.")
    gpu_watts: float = Field(default=200.0, gt=0, description="Of a busy GPU.")
    watts_source: str = Field(
        default="Green Algorithms, tables TDP_cpu and GPUs of version 3.0, row “Any”; read on 2026-11-27",
        description="Where the watts come from, and when they were read.",
    )
    overhead: float = Field(default=1.0, ge=1, description="1: the machine alone.")
    grams_per_kwh: float = Field(default=445.0, ge=0, description="CO2 of the electricity, in grams.")
    grid_source: str = Field(
        default="world average of 2024: IEA, Electricity 2025 (February 2025), Emissions; read on 2026-11-27",
        description="Which grid, which year, from where, and when it was read.",
    )
