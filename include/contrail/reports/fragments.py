"""Parts of HTML that a notebook shows. Whatever comes from data is escaped."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any


def table_html(caption: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Make a table with a caption.

    Example:
        >>> table_html("one", ["a < b"], [["<script>"]])
        '<table><caption>one</caption><tr><th>a &lt; b</th></tr><tr><td>&lt;script&gt;</td></tr></table>'
    """
    heads = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{_text(value)}</td>' for value in row)}</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption>{f'<tr>{heads}</tr>' if heads else ''}{body}</table>"


def page_html(page: str, height: int = 600) -> str:
    """Show a whole page in a frame of its own, which runs no script and shares no style with the notebook."""
    return f'<iframe sandbox srcdoc="{escape(page)}" style="width: 100%; height: {height}px; border: 0"></iframe>'


def _text(value: Any) -> str:
    return "" if value is None else escape(f"{value:.4g}" if isinstance(value, float) else str(value))
