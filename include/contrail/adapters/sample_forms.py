"""How the values of a stranger's column may be written, and the SQL that writes them as landed files have them.

Which form a column has is found in ``sample_files``.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from contrail.config.names import literal, quoted
from contrail.config.table_spec import ColumnType

# Words for no value. They are nulls in columns of numbers, dates and times; in texts they stay (NA is Namibia).
NULLS = ("NA", "N/A", "n/a", "NULL", "null", "None", "none", "NaN", "nan", "-", "--", "?")


class Form(NamedTuple):
    """A way to write values.

    Attributes:
        type: The type of the values.
        words: The form in words.
        sql: The landed text of the text ``{}``. A text of another form stays, so that ``validate`` sets its row aside.
        pattern: What a text of this form looks like, beyond what the cast of the type asks for.
        number: Whether it is a form of numbers.
        comma: Whether a point in it parts thousands.
        local: Whether it is a time without a zone.
    """

    type: ColumnType
    words: str
    sql: str = "{}"
    pattern: str = ""
    number: bool = False
    comma: bool = False
    local: bool = False

    def fitting(self, text: str) -> str:
        """The landed text of a text that has the form; null for another one."""
        sql = self.sql.replace("{}", text)
        return f"CASE WHEN regexp_full_match({text}, {literal(self.pattern)}) THEN {sql} END" if self.pattern else sql


def given_text(name: str, form: Form, nulls: Sequence[str]) -> str:
    """SQL of a column's text as the file has it. Its words for no value are null."""
    if form.type == "string":
        return quoted(name)
    text = f"trim({quoted(name)})"
    return f"CASE WHEN {text} NOT IN ({', '.join(map(literal, nulls))}) THEN {text} END" if nulls else text


def _number(kind: ColumnType, words: str, pattern: str, parting: str, sql: str = "{}", comma: bool = False) -> Form:
    """A form of numbers. ``parting`` says which of them have a mark that ``sql`` must change."""
    changed = f"CASE WHEN regexp_full_match({{}}, {literal(parting)}) THEN {sql} ELSE {{}} END" if parting else "{}"
    return Form(kind, words, changed, pattern, number=True, comma=comma)


def _date(form: str, words: str) -> Form:
    return Form("date", words, f"coalesce(try_strptime({{}}, {literal(form)})::DATE::VARCHAR, {{}})", _pattern(form))


def _pattern(form: str) -> str:
    """What a text of a form of ``strptime`` looks like."""
    digits = {"%d": r"\d{1,2}", "%m": r"\d{1,2}", "%Y": r"\d{4}", "%y": r"\d{2}", "%b": "[A-Za-z]{3}"}
    digits |= {"%H": r"\d{1,2}", "%M": r"\d{2}", "%S": r"\d{2}"}
    return re.sub("%.", lambda found: digits[found[0]], form.replace(".", r"\."))


def _local(words: str, parsed: str, pattern: str = "") -> Form:
    utc = f"timezone('UTC', timezone(getvariable('zone'), {parsed}))"
    sql = f"coalesce(strftime({utc}, '%Y-%m-%dT%H:%M:%SZ'), {{}})"
    return Form("timestamp", words, sql, pattern, local=True)


# 007 is a name, not a number.
_WHOLE = r"[+-]?(0|[1-9]\d*)"
_GROUPS = r"[+-]?[1-9]\d{0,2}"
_POINTS, _COMMA = rf"{_GROUPS}(\.\d{{3}})+(,\d+)?|{_WHOLE}(,\d+)?", "replace(replace({}, '.', ''), ',', '.')"
_COMMAS = rf"{_GROUPS}(,\d{{3}})+(\.\d+)?|{_WHOLE}(\.\d+)?"
_DAYS = (
    ("%d.%m.%Y", "dd.mm.yyyy"),
    ("%d/%m/%Y", "dd/mm/yyyy"),
    ("%m/%d/%Y", "mm/dd/yyyy"),
    ("%d-%m-%Y", "dd-mm-yyyy"),
    ("%m-%d-%Y", "mm-dd-yyyy"),
    ("%Y/%m/%d", "yyyy/mm/dd"),
    ("%d.%m.%y", "dd.mm.yy"),
    ("%m/%d/%y", "mm/dd/yy"),
    ("%d %b %Y", "dd Mon yyyy"),
    ("%d-%b-%Y", "dd-Mon-yyyy"),
    ("%d-%b-%y", "dd-Mon-yy"),
    ("%b %d, %Y", "Mon dd, yyyy"),
)
_MIDNIGHT = r"\d{4}-\d{2}-\d{2}[T ]00:00(:00(\.0+)?)?"
DATES = (
    Form("date", "yyyy-mm-dd"),
    # What pandas and spreadsheets make of a date.
    Form("date", "yyyy-mm-dd 00:00:00", "regexp_replace({}, '[T ]00:00(:00(\\.0+)?)?$', '')", _MIDNIGHT),
    *(_date(form, words) for form, words in _DAYS),
)
# The strictest first; text, which everything is, last.
FORMS = (
    _number("int", "whole numbers", rf"{_WHOLE}(\.0+)?", ""),
    _number("float", "numbers", rf"({_WHOLE}(\.\d*)?|[+-]?\.\d+)([eE][+-]?\d+)?", ""),
    _number(
        "int", "whole numbers, thousands parted by a point", rf"{_GROUPS}(\.\d{{3}})+|{_WHOLE}", _POINTS, _COMMA, True
    ),
    _number("float", "numbers with a decimal comma", _POINTS, _POINTS, _COMMA, True),
    _number("float", "numbers, thousands parted by a comma", _COMMAS, _COMMAS, "replace({}, ',', '')"),
    Form("bool", "true or false", pattern="(?i)true|false"),
    *DATES,
    Form("timestamp", "instants with their zone"),
    _local("yyyy-mm-dd hh:mm:ss, without a zone", "TRY_CAST({} AS TIMESTAMP)", r"\d{4}-\d{2}-\d{2}[T ][\d:.]+"),
    *(
        _local(f"{words} {shown}, without a zone", f"try_strptime({{}}, '{form} {clock}')", _pattern(f"{form} {clock}"))
        for form, words in _DAYS
        for clock, shown in (("%H:%M:%S", "hh:mm:ss"), ("%H:%M", "hh:mm"))
    ),
    Form("string", "text"),
)
TEXT = FORMS[-1]
