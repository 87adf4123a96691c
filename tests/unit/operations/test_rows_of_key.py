"""How a person writes a key, and what is said of one that is none."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import TOY_PIPELINES, Toy

from contrail.config.spec import PipelineSpec
from contrail.errors import SpecError
from contrail.operations.rows_of_key import checked_key, parse_key


def spec_of(folder: Path) -> PipelineSpec:
    return PipelineSpec.model_validate(yaml.safe_load((folder / "pipeline.yaml").read_text()))


TOY = spec_of(TOY_PIPELINES / "toy")
FLIGHTS = spec_of(TOY_PIPELINES.parents[1] / "include" / "pipelines" / "flight_delay")


@pytest.mark.parametrize(("spec", "text", "key"), [
    (TOY, "7", {"parcel": "7"}),
    (TOY, " 2024-03-01 , 7 ", {"ship_date": "2024-03-01", "parcel": "7"}),
    (TOY, "parcel=7", {"parcel": "7"}),
    (TOY, '{"parcel": 7}', {"parcel": "7"}),
    (FLIGHTS, "UA,15,EWR", {"carrier": "UA", "flight": "15", "origin": "EWR"}),
    (FLIGHTS, "2013-12-01,UA,15,EWR", {"flight_date": "2013-12-01", "carrier": "UA", "flight": "15", "origin": "EWR"}),
    (FLIGHTS, "carrier=UA, flight=15", {"carrier": "UA", "flight": "15"}),
    (FLIGHTS, '{"carrier": "U,A", "flight": 15}', {"carrier": "U,A", "flight": "15"}),
])  # fmt: skip
def test_a_key_is_values_or_names_or_json(spec: PipelineSpec, text: str, key: dict[str, str]) -> None:
    assert parse_key(spec, text) == key


NO_KEYS = ("", ",", "1,2,3,4,5", "a=", "=b", "UA,,EWR", "carrier=UA,15", "{", "{}", '{"a": [1]}', '{"a": null}')


@pytest.mark.parametrize("text", NO_KEYS)
def test_what_is_no_key_is_told_with_the_forms(text: str) -> None:
    with pytest.raises(SpecError, match=r"<carrier>,<flight>,<origin> or <flight_date>,<carrier>,<flight>,<origin>"):
        parse_key(FLIGHTS, text)


@given(st.text(max_size=30))
def test_any_text_is_a_key_or_an_error_in_words(text: str) -> None:
    try:
        found = parse_key(FLIGHTS, text)
    except SpecError:
        return
    assert found
    assert all(isinstance(value, str) for value in found.values())


@pytest.mark.parametrize(("key", "words"), [
    ({"parcle": "7"}, "'parcle' is no column of the key of toy; did you mean 'parcel'"),
    ({"parcel": "x"}, "parcel of the key: 'x' is not a whole number"),
    ({"parcel": "99999999999999999999"}, "cannot be kept"),
    ({"parcel": "7' OR 1=1 --"}, "is not a whole number"),
    ({"ship_date": "yesterday"}, "is not a date"),
    ({"ship_date": "0001-01-01"}, "outside the years"),
    ({"parcel": "7.2"}, "is not a whole number"),
])  # fmt: skip
def test_a_value_of_another_type_is_told(toy: Toy, key: dict[str, str], words: str) -> None:
    with pytest.raises(SpecError) as error:
        checked_key(toy.lake, toy.spec, key)
    assert words in str(error.value)
