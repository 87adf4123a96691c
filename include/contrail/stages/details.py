"""What is particular to the results of train and promote: frozen models, whose JSON is the result's ``details``.

The module is light, without numpy, so that DAGs and notifications can read details with it.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from contrail.frozen import Frozen

Metrics = Mapping[str, float]


class TrainDetails(Frozen):
    """The trained model; ``model_version`` is None when it was not registered."""

    model_name: str
    model_version: str | None
    mlflow_run: str
    rounds: int
    device: str
    workers: int
    training_set_md5: str
    model_sha256: str
    validation: Metrics
    baselines: Mapping[str, Metrics]


class PromoteDetails(Frozen):
    """The gate's decision; ``record`` is its text for an approver, when it waits for one."""

    record: str | None = Field(default=None, exclude_if=lambda value: value is None)
    model_name: str
    model_version: str
    verdict: Literal["pass", "waits", "refused"]
    champion_before: str | None
    metrics: Mapping[str, Metrics]
