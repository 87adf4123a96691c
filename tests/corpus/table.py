"""All kinds, in the order in which their modules say them."""

from tests.corpus import of_bytes, of_parquet, of_places, of_rows, of_text
from tests.corpus.kind import KINDS, Kind

MODULES = (of_bytes, of_text, of_rows, of_parquet, of_places)


def kinds() -> dict[str, Kind]:
    """The kinds by name."""
    return KINDS
