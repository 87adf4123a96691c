"""What every HTML page of Contrail has in common: it runs nothing that data brought along, and reaches no network.

What a page says belongs to its own module.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from jinja2 import Template

_TEMPLATES = Path(__file__).resolve().parent / "templates"

# The browser enforces it also where an escape was forgotten.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; form-action 'none'"
)
# Plotly and Evidently bring their own code within the page. It may not call anybody.
_SCRIPTS = f"{_POLICY}; script-src 'unsafe-inline' 'unsafe-eval'; worker-src blob:"
# Great Expectations does not escape what it shows. Its pages need no script to be read.
_STYLES_OF_OTHERS = (
    "default-src 'none'; style-src 'unsafe-inline' https:; font-src https:; img-src data:; form-action 'none'"
)
_POLICIES = {"none": _POLICY, "own": _SCRIPTS, "styles of others": _STYLES_OF_OTHERS}


def template(name: str, **filters: Callable[..., str]) -> "Template":
    """Compile a page's template. It takes longer than to fill the page, so each module keeps what it gets."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(name)


def protected(page: str, needs: Literal["none", "own", "styles of others"] = "none") -> str:
    """Add a content security policy to a page with a ``<head>``.

    Args:
        page: The page's HTML.
        needs: ``own`` for a page with scripts of its own, whose data must come through ``harmless``. ``styles of others``
            for a page of Great Expectations.
    """
    at = page.index(">", page.index("<head")) + 1
    own = f"<style>{_of_others()}</style>" if needs == "styles of others" else ""
    return f'{page[:at]}<meta http-equiv="Content-Security-Policy" content="{_POLICIES[needs]}">{own}{page[at:]}'


@cache
def _of_others() -> str:
    """Styles for pages of Great Expectations, whose own are read from the network, and often are not to be had."""
    return (_TEMPLATES / "great_expectations.css").read_text(encoding="utf-8")


def harmless(texts: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Replace ``<`` in texts that go into a page's script, where it could end the script."""
    return pc.replace_substring(texts, "<", "‹")
