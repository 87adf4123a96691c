"""Names that strangers give to columns, and what they tell; and names that Contrail can use."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from contrail.config.names import OF_FEATURES, OF_KEYS, OF_LANDED

LABELS = (
    *(
        "label",
        "target",
        "outcome",
        "y",
        "churned",
        "churn",
        "sales",
        "revenue",
        "turnover",
        "umsatz",
        "demand",
        "quantity",
    ),
    *(
        "amount",
        "price",
        "cost",
        "count",
        "cnt",
        "volume",
        "returned",
        "late",
        "delayed",
        "fraud",
        "default",
        "defaulted",
    ),
    *("converted", "cancelled", "canceled", "clicked", "sold", "survived", "failed", "absatz", "menge", "value"),
)
EVENTS = (
    *(
        "date",
        "datum",
        "day",
        "tag",
        "time",
        "zeit",
        "ds",
        "ts",
        "timestamp",
        "datetime",
        "opened",
        "created",
        "ordered",
    ),
    *("order", "event", "start", "started", "begin", "placed", "booked", "requested", "submitted", "sent"),
)
ENDS = (
    *(
        "closed",
        "ended",
        "end",
        "finished",
        "resolved",
        "returned",
        "delivered",
        "arrived",
        "paid",
        "completed",
        "known",
    ),
    *("updated", "decided", "until", "churned", "cancelled", "landed", "settled"),
)
NEVER_EVENTS = (
    "birth",
    "born",
    "birthday",
    "signup",
    "since",
    "joined",
    "registered",
    "expiry",
    "expires",
    "valid",
    "due",
)
PERSONAL = (
    *(
        "email",
        "mail",
        "phone",
        "telephone",
        "telefon",
        "mobile",
        "firstname",
        "lastname",
        "surname",
        "fullname",
        "vorname",
    ),
    *(
        "nachname",
        "address",
        "adresse",
        "street",
        "strasse",
        "iban",
        "ssn",
        "passport",
        "birth",
        "birthday",
        "birthdate",
        "ip",
    ),
)
IDS = ("id", "nr", "no", "number", "code", "key", "uuid", "index", "column")
YES = ("true", "yes", "y", "1", "ja", "j", "oui", "si", "t", "x")
NO = ("false", "no", "n", "0", "nein", "non", "f", "none", "ok")
_OWN = OF_LANDED | OF_KEYS | OF_FEATURES


def names_of(given: Sequence[str], taken: Iterable[str] = ()) -> list[str]:
    """Make names of a stranger's: lower case, letters without accents, digits and underscores, each once.

    Example:
        >>> names_of(["Anzahl Käufe", "order", "Umsatz €", "umsatz", "2nd", "label"])
        ['anzahl_kaufe', 'order', 'umsatz', 'umsatz_2', 'column_2nd', 'label_value']
    """
    seen, found = set(taken), []
    for text in given:
        name = base = name_of(text)
        count = 1
        while name in seen:
            count += 1
            name = f"{base}_{count}"
        seen.add(name)
        found.append(name)
    return found


def name_of(text: str) -> str:
    """One such name."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text.replace("ß", "ss"))
    plain = unicodedata.normalize("NFKD", spaced).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:60].strip("_")
    name = name if name[:1].isalpha() else f"column_{name}".rstrip("_")
    return f"{name}_value" if name in _OWN or name.startswith("reason_") else name


def says(name: str, words: Iterable[str]) -> bool:
    """Whether a name has one of the words."""
    parts = name.split("_")
    return any(word in parts or word == name.replace("_", "") for word in words)
