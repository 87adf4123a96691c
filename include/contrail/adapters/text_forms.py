"""Typed values as the text that a landed CSV file would have, so that every format ends in the same rows.

A null stays null, and an empty text stays empty. What the contract makes of a text does not belong here.
"""

import pyarrow as pa
import pyarrow.compute as pc

_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_AS_THEY_ARE = (pa.types.is_integer, pa.types.is_boolean, pa.types.is_time, pa.types.is_null)


def has_text(kind: pa.DataType) -> bool:
    """Whether values of a type have a text: not lists, structures and bytes."""
    kind = _stored(kind)
    known = (*_TEXTS, *_AS_THEY_ARE, pa.types.is_floating, pa.types.is_decimal, pa.types.is_date, pa.types.is_timestamp)
    return any(is_kind(kind) for is_kind in known)


def is_text(kind: pa.DataType) -> bool:
    """Whether values of a type are text already."""
    return any(is_kind(_stored(kind)) for is_kind in _TEXTS)


def as_text(values: pa.Array) -> pa.StringArray:
    """Write values as text.

    A number keeps its value: a float is written in the fewest digits that give it back, a decimal without an exponent.
    An instant is in UTC, with six decimals of a second; with nine where it has them. One without a zone has none here.
    """
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    if isinstance(values, pa.DictionaryArray):
        values = values.dictionary_decode()
    kind = values.type
    if pa.types.is_floating(kind):
        return values.cast(pa.float64()).cast(pa.string())  # a narrow float's own digits would be another number
    if pa.types.is_decimal(kind):
        return _of_decimals(values)
    if pa.types.is_date(kind):
        return values.cast(pa.date32()).cast(pa.string())
    if pa.types.is_timestamp(kind):
        return _of_instants(values)
    return values.cast(pa.string())


def _stored(kind: pa.DataType) -> pa.DataType:
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _of_decimals(values: pa.Array) -> pa.StringArray:
    text = values.cast(pa.string())
    exponents = pc.match_substring(text, "E")
    if not pc.any(exponents).as_py():
        return text
    plain = pa.array([format(value, "f") for value in values.filter(exponents).to_pylist()], pa.string())
    return pc.replace_with_mask(text, pc.fill_null(exponents, False), plain)


def _of_instants(values: pa.Array) -> pa.StringArray:
    zone = "UTC" if values.type.tz else None
    if values.type.unit != "ns":
        return values.cast(pa.timestamp("us", zone)).cast(pa.string())
    exact = values.cast(pa.timestamp("ns", zone))
    rounded = exact.cast(pa.timestamp("us", zone), safe=False)
    same = pc.equal(rounded.cast(exact.type), exact)
    return pc.if_else(same, rounded.cast(pa.string()), exact.cast(pa.string()))
