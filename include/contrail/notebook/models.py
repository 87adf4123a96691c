"""A model version and a decision, as a notebook shows them."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contrail.adapters.registry import RegisteredModel
from contrail.methods.decision_record import DecisionRecord
from contrail.methods.model_package import ModelCard
from contrail.reports.decision import render_decision
from contrail.reports.fragments import page_html, table_html

if TYPE_CHECKING:
    import xgboost


class Model:
    """A version of a pipeline's model.

    Example:
        >>> model = parcels.model("champion")
        >>> model
        toy version 1, trained on 2024-01-01..2024-02-09: binary, label delay > 15, 4 features
        >>> model.card.features
        ('depot', 'weight', 'distance', 'late_rate_7d')
        >>> rows = parcels.table("features", days="2024-03-01")
        >>> model.predict(rows).shape, model.contributions(rows).column_names
        ((60,), ['depot', 'weight', 'distance', 'late_rate_7d', 'mean'])
    """

    def __init__(self, found: RegisteredModel) -> None:
        self._package = found.package
        self.name, self.version = found.name, found.version

    @property
    def card(self) -> ModelCard:
        """What the model learned, and from what: features, categories, training window, parameters, code."""
        return self._package.card

    @property
    def booster(self) -> "xgboost.Booster":
        """XGBoost's own model. Its rows are encoded; ``predict`` encodes them."""
        return self._package.booster

    def predict(self, rows: Any) -> npt.NDArray[np.float64]:
        """Predict rows of ``features``: probabilities or values, shape (rows,). They equal those that ``score`` publishes.

        Args:
            rows: A ``Rows``, an Arrow table or a pandas data frame, with the model's features. Where one of them is
                personal, open the table with ``personal=True``: a pseudonym is not its value.
        """
        return self._package.predict(pa.table(rows))

    def contributions(self, rows: Any) -> pa.Table:
        """Compute how far each feature moves each score, in log-odds or label units. With ``mean`` they sum to the score."""
        found = self._package.contributions(pa.table(rows))
        return pa.table(dict(zip((*self._package.features, "mean"), map(pa.array, found.T), strict=True)))

    def __repr__(self) -> str:
        card = self.card
        return (
            f"{self.name} version {self.version}, trained on {card.training.partitions}: {card.task}, "
            f"label {card.label}, {len(card.features)} features"
        )

    def _repr_html_(self) -> str:
        training = self.card.training.model_dump(mode="json", exclude={"params", "options", "snapshots"})
        return table_html(repr(self), (), [*training.items(), *self.card.training.params.items()])


class Decision:
    """The decision on a version. ``record`` has all of it; a notebook shows the approver's page.

    Example:
        >>> decision = parcels.decision("champion")
        >>> decision.record.verdict, decision.record.window.days
        ('pass', 14)
        >>> [check.name for check in decision.record.checks[:2]]
        ['package_integrity', 'enough_rows']
    """

    def __init__(self, record: DecisionRecord) -> None:
        self.record = record

    def __repr__(self) -> str:
        record = self.record
        return (
            f"{record.pipeline} version {record.version}, {record.window.start}..{record.window.end}: {record.summary}"
        )

    def _repr_html_(self) -> str:
        return page_html(render_decision(self.record))
