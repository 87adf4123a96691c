"""What a second of a search costs, where its environment rents a machine for it and has a price table."""

from contrail.config.prices import load_prices
from contrail.config.settings import Settings
from contrail.config.targets import DataprocTarget, VertexTarget
from contrail.errors import NoPriceError
from contrail.methods.cost import HOUR, cost_of, usage_of


def price_of_second(settings: Settings, pipeline: str) -> tuple[float, str] | None:
    """The price and its currency; None where a search costs nothing, or nobody knows what."""
    target = settings.dispatch.target_of(pipeline, "tune")
    if settings.dispatch.prices is None or not isinstance(target, DataprocTarget | VertexTarget):
        return None
    prices = load_prices(settings.dispatch.prices)
    try:
        return cost_of(usage_of(target, HOUR), prices) / HOUR, prices.currency
    except NoPriceError:
        return None
