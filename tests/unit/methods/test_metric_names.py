"""Any value of the data gives a metric name that MLflow takes, and no other value gives the same."""

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st
from mlflow.entities import Metric
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, _validate_metric

from contrail.methods.metric_names import safe_part

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


def original(part: str) -> str:
    """The text of a part that was not too long."""
    found = re.sub(r":([0-9a-f]{2})", lambda byte: chr(int(byte[1], 16)), "".join(
        char if char == ":" or char.isascii() else "".join(f":{byte:02x}" for byte in char.encode()) for char in part
    ))  # fmt: skip
    return "" if part == ":" else found.encode("latin-1").decode()


@settings(deadline=None)
@given(TEXTS)
@example(".")
@example("..")
@example("")
@example("a/b")
@example("/")
@example(" a ")
@example("x" * 260)
@example("a\n")
@example("é" * 100)
def test_mlflow_takes_the_name_of_any_value(text: str) -> None:
    name = f"by_segment/{'f' * 100}/{safe_part(text)}/calibration_error"
    _validate_metric(name, 0.5, 0, 0)
    assert len(name) <= MAX_ENTITY_KEY_LENGTH
    assert Metric(name, 0.5, 0, 0).key == name


@settings(deadline=None)
@given(TEXTS, TEXTS)
@example("a?b", "a*b")
@example("a:2fb", "a/b")
@example("x" * 260, "x" * 261)
@example("", ":")
def test_two_values_never_share_a_name(one: str, other: str) -> None:
    assert (safe_part(one) == safe_part(other)) == (one == other)


@settings(deadline=None)
@given(TEXTS.filter(lambda text: "::" not in safe_part(text)))
def test_a_name_leads_back_to_its_value(text: str) -> None:
    assert original(safe_part(text)) == text
