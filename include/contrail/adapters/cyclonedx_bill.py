"""A bill of materials in CycloneDX's form, from what is known of libraries, data, code and a model."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, cast
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from contrail.adapters.lock_file import Library, licence_of

_PREFIX = "contrail:"


def component(
    kind: str,
    name: str,
    version: str,
    *,
    about: str = "",
    hashes: Mapping[str, str] = {},
    facts: Mapping[str, object] = {},
) -> Component:
    """A part that is no library. ``hashes`` are by algorithm, as ``SHA-256``; ``facts`` become properties."""
    return Component(
        name=name,
        version=version,
        type=ComponentType(kind),
        bom_ref=f"{kind}:{name}@{version}",
        description=about or None,
        hashes=[
            HashType(alg=HashAlgorithm(algorithm), content=content) for algorithm, content in hashes.items() if content
        ],
        properties=[
            Property(name=_PREFIX + key, value=_text(value)) for key, value in facts.items() if value is not None
        ],
    )


def library(found: Library) -> Component:
    """A locked library, with its files' hashes as properties, since a lock has one for each system."""
    licence = licence_of(found)
    files = [Property(name=f"{_PREFIX}file:sha256", value=each) for each in found.hashes]
    marker = [Property(name=f"{_PREFIX}marker", value=found.marker)] if found.marker else []
    return Component(
        name=found.name,
        version=found.version,
        type=ComponentType.LIBRARY,
        bom_ref=_ref(found),
        purl=PackageURL("pypi", name=found.name, version=found.version),
        licenses=[_licences().make_from_string(licence)] if licence else [],
        properties=[*marker, *files],
    )


def bill(
    about: Component, parts: Iterable[Component], locked: Iterable[Library], at: datetime | None, name: str
) -> dict[str, Any]:
    """The bill of one thing: its own parts, and below the first of them the libraries that it runs on.

    Args:
        about: What the bill is of.
        parts: What it was made of. The first one is the code, which needs the libraries.
        locked: The libraries.
        at: The time at which it was made; None is now.
        name: What tells this bill from any other. The same name gives the same serial number.
    """
    own, known = list(parts), list(locked)
    made = {each.name: library(each) for each in known}
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, f"contrail:{name}"), components=[*own, *made.values()])
    bom.metadata.component = about
    if at:
        bom.metadata.timestamp = at
    bom.register_dependency(about, own)
    code = own[0] if own else about
    bom.register_dependency(code, [made[each.name] for each in known if each.asked])
    for each in known:
        bom.register_dependency(made[each.name], [made[one.name] for one in known if each.name in one.needed_by])
    return cast(dict[str, Any], json.loads(JsonV1Dot6(bom).output_as_string(indent=None)))


@cache
def _licences() -> LicenseFactory:
    return LicenseFactory()


def _ref(found: Library) -> str:
    return f"pypi:{found.name}@{found.version}" + (f";{found.marker}" if found.marker else "")


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
