"""A template is compiled once for all environments of a process, and again when its text is another."""

import pytest
from jinja2 import DictLoader, Environment

from contrail.adapters.templates import Compiled


def test_a_template_is_compiled_again_only_when_its_text_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    real = Environment.compile
    monkeypatch.setattr(Environment, "compile", lambda *args: compiled.append(args[1]) or real(*args))
    kept = Compiled()

    def said(text: str) -> str:
        pages = Environment(loader=DictLoader({"page": text}), bytecode_cache=kept)  # noqa: S701 - its text is ours
        return pages.get_template("page").render(n=1)

    assert [said("{{ n }} row"), said("{{ n }} row"), said("{{ n }} day")] == ["1 row", "1 row", "1 day"]
    assert compiled == ["{{ n }} row", "{{ n }} day"]
