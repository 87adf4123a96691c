"""The schema of Terraform's google provider, read out of the wheel ``cdktn-provider-google``.

Terraform asks a provider for its schema and checks the configuration against it. The provider itself comes from a
registry that CI does not reach. But the wheel holds classes that were generated from that schema. They say whether each
attribute is required, optional or computed, how often each block may occur, and the types of both. This module reads
them back into the form of ``terraform providers schema -json``.

The schema itself has no allowed values and no patterns of names: these live in the provider's code. But the comments of
the wheel's type declarations say many of them ("Possible values: [...]"), and so this schema has them too, as ``values`` and
``pattern`` of an attribute. It cannot check arguments that exclude each other. Nothing here plans or applies.
"""

import json
import re
import tarfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

PACKAGE = "cdktn_provider_google"
KINDS = {
    "TerraformResource": "resource_schemas",
    "TerraformDataSource": "data_source_schemas",
    "TerraformProvider": "provider",
}

# A class of the generated code, from its head to the brace in the first column.
_CLASS = re.compile(r"^(?:export )?class (\w+) extends cdk\w+\.(\w+) \{\n(.*?)^\}", re.M | re.S)
# The comment before each attribute, and the getter after it, which tells the type when nothing else does.
_ATTRIBUTE = re.compile(
    r"^    // (\w+) - computed: (true|false), optional: (true|false), required: (true|false)\n((?:    .*\n){1,6}?    \})",
    re.M,
)
# What the class writes as HCL: for each attribute that can be set, whether it is a block, and of which type.
_WRITTEN = re.compile(
    r"^\s{8,12}(\w+): \{\n\s+value: .*,\n\s+isBlock: (true|false),\n"
    r"\s+type: \"(\w+)\",\n\s+storageClassType: \"(\w+)\",",
    re.M,
)
_WRITE_RESOURCE = re.compile(r"synthesizeHclAttributes\(\) \{\n(.*?)\n    \}", re.S)
_WRITE_BLOCK = re.compile(r"^function (\w+)ToHclTerraform\(struct\) \{\n(.*?)^\}", re.M | re.S)
_CHILD = re.compile(r"= new (?:\w+_1\.)?(\w+)\(this, \"(\w+)\"(?:, (true|false))?\)")
_COMPUTED_MAP = re.compile(r"= new cdk\w+\.(String|Number|Boolean|Any)Map\(this, \"(\w+)\"\)")
_GETTER = re.compile(r"(?:this\.|Fn\.tolist\(this\.|\()get(\w+?)Attribute")

# A declared argument and its comment, which ends with a link to the argument's own place in the provider's pages.
_INTERFACE = re.compile(r"^export interface (\w+)[^{\n]*\{\n(.*?)^\}", re.M | re.S)
_COMMENT = re.compile(r"/\*\*\n(.*?)\*/\s+readonly \w+\??:", re.S)
_ANCHOR = re.compile(r"/docs/[\w-]+/\w+#(\w+) ")
_VALUES = re.compile(r"Possible values: (\[\".*?\"\])")
_MORE_VALUES = re.compile(r"Supported values include:? (.+?)\.(?:\s|$)")
_PATTERN = re.compile(r"match the regular expression ['`](\[[^'`]+)['`]")

_SCALARS = {"string": "string", "number": "number", "boolean": "bool", "any": "dynamic"}
_TYPES: dict[str, Any] = (
    _SCALARS
    | {f"{name}List": ["list", scalar] for name, scalar in _SCALARS.items()}
    | {f"{name}Map": ["map", scalar] for name, scalar in _SCALARS.items()}
    | {"stringListList": ["list", ["list", "string"]], "stringListMap": ["map", ["list", "string"]]}
)
_MAX_DEPTH = 14  # a few structures contain themselves


class _Source:
    """The generated JavaScript of one resource, data source or provider."""

    def __init__(self, text: str) -> None:
        self.classes = {name: (base, body) for name, base, body in _CLASS.findall(text)}
        self._writers = dict(_WRITE_BLOCK.findall(text))
        self._limits = {name: dict(_limits(body)) for name, body in _INTERFACE.findall(text)}

    def schemas(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Kind, Terraform type and schema of each class that is a resource, data source or provider."""
        for made, (base, body) in self.classes.items():
            if kind := KINDS.get(base):
                name = re.search(r"static tfResourceType = \"(\w+)\"", body)
                written = _WRITE_RESOURCE.search(body)
                assert name, "a class without its Terraform type"
                block = self._block(body, written[1] if written else "", f"{made}Config", 0)
                yield kind, name[1], {"version": 0, "block": block}

    def _block(self, body: str, written: str, interface: str, depth: int) -> dict[str, Any]:
        attributes: dict[str, Any] = {}
        blocks: dict[str, Any] = {}
        settable = {name: (block == "true", shape, stored) for name, block, shape, stored in _WRITTEN.findall(written)}
        children = {name: (made, is_set == "true") for made, name, is_set in _CHILD.findall(body)}
        maps = {name: ["map", _SCALARS[scalar.lower()]] for scalar, name in _COMPUTED_MAP.findall(body)}
        for name, computed, optional, required, getter in _ATTRIBUTE.findall(body) if depth < _MAX_DEPTH else ():
            flags: dict[str, Any] = _flags(computed=computed, optional=optional, required=required)
            flags |= self._limits.get(interface, {}).get(name, {})
            is_block, shape, stored = settable.get(name, (False, "", ""))
            if name in maps:
                attributes[name] = {"type": maps[name], **flags}
            elif name not in children or (shape and not is_block and stored in _TYPES):
                attributes[name] = {"type": _plain_type(stored, shape, getter), **flags}
            elif (inner := self._child(children[name][0], depth)) is None:
                attributes[name] = {"type": "dynamic", **flags}
            elif is_block:
                blocks[name] = _nested(name, children[name], shape, inner, required="required" in flags)
            else:
                attributes[name] = {"type": [_nesting(children[name], shape), _object(inner)], **flags}
        return {"attributes": attributes, "block_types": blocks}

    def _child(self, made: str, depth: int) -> dict[str, Any] | None:
        stem = re.sub(r"(List|Map|OutputReference)$", "", made)
        found = self.classes.get(f"{stem}OutputReference")
        return (
            self._block(found[1], self._writers.get(stem[0].lower() + stem[1:], ""), stem, depth + 1) if found else None
        )


def _limits(interface: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """For each argument of an interface whose comment says so: the values that it may have, or the pattern."""
    for comment in _COMMENT.findall(interface):
        text = " ".join(line.strip(" *") for line in comment.splitlines())
        if not (anchor := _ANCHOR.search(text)):
            continue
        text = text[: anchor.start()]
        if found := _VALUES.search(text):
            yield anchor[1], {"values": json.loads(found[1])}
        elif found := _MORE_VALUES.search(text):
            yield anchor[1], {"values": [word for word in re.findall(r"\w+", found[1]) if word not in ("and", "or")]}
        elif found := _PATTERN.search(text):
            yield anchor[1], {"pattern": found[1]}


def _flags(**said: str) -> dict[str, bool]:
    return {name: True for name, value in said.items() if value == "true"}


def _plain_type(stored: str, shape: str, getter: str) -> Any:
    known = _TYPES.get(stored)
    if known is None:  # computed only: nothing writes it, so its getter has to tell
        method = _GETTER.search(getter)
        name = method[1] if method else ""
        known = ["list", "string"] if name == "List" else _TYPES.get(name[:1].lower() + name[1:], "dynamic")
    if isinstance(known, list) and (shape == "set" or "tolist" in getter):
        return ["set", *known[1:]]
    return known


def _nesting(child: tuple[str, bool], shape: str) -> str:
    made, is_set = child
    return "set" if is_set or shape == "set" else "map" if made.endswith("Map") else "list"


def _nested(name: str, child: tuple[str, bool], shape: str, inner: dict[str, Any], *, required: bool) -> dict[str, Any]:
    if name == "timeouts":
        return {"nesting_mode": "single", "block": inner}
    at_most_one = child[0].endswith("OutputReference")
    mode = "list" if at_most_one and shape != "set" else _nesting(child, shape)
    return {
        "nesting_mode": mode,
        "block": inner,
        **({"min_items": 1} if required else {}),
        **({"max_items": 1} if at_most_one else {}),
    }


def _object(block: dict[str, Any]) -> list[Any]:
    fields = {name: attribute["type"] for name, attribute in block["attributes"].items()}
    return ["object", fields | {name: ["list", "dynamic"] for name in block["block_types"]}]


def types_used(root: Path) -> set[str]:
    """The resource and data source types that the configuration under ``root`` names, without ``google_``."""
    named = re.compile(r'^\s*(?:resource|data)\s+"google_(\w+)"', re.M)
    return {name for path in root.rglob("*.tf") for name in named.findall(path.read_text())}


def _sources(wanted: set[str]) -> Iterator[str]:
    """The code of each wanted type, and of the provider; a big one is split over several files."""
    folders = {name.replace("_", "-") for name in wanted}
    folders |= {f"data-google-{name}" for name in folders} | {"provider"}
    member = re.compile(r"package/lib/([^/]+)/(?:index|index-structs/structs\d+)\.(?:js|d\.ts)")
    # Not through an import of the package, which would start Node.
    (archive,) = (path for path in distribution(PACKAGE).files or () if path.name.endswith(".jsii.tgz"))
    found: dict[str, str] = {}
    with tarfile.open(archive.locate(), mode="r:gz") as packed:
        for entry in packed:
            if (match := member.fullmatch(entry.name)) and match[1] in folders:
                content = packed.extractfile(entry)
                assert content is not None
                found[match[1]] = found.get(match[1], "") + "\n" + content.read().decode()
    return iter(found.values())


def provider_version() -> str:
    """The version of the google provider that the wheel was generated from."""
    said = re.search(r"hashicorp/google provider version ([\d.]+)", distribution(PACKAGE).metadata.as_string())
    assert said, f"{PACKAGE} does not say its provider's version"
    return said[1]


def provider_schema(wanted: set[str]) -> dict[str, Any]:
    """The provider's own schema and those of the wanted types, as ``terraform providers schema -json`` gives them."""
    schema: dict[str, Any] = {"provider": None, "resource_schemas": {}, "data_source_schemas": {}}
    for text in _sources(wanted):
        for kind, name, found in _Source(text).schemas():
            if kind == "provider":
                schema[kind] = found
            else:
                schema[kind][name] = found
    return schema
