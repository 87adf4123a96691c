"""A Terraform provider that knows its schema and nothing else: enough for ``terraform validate`` and ``terraform test``.

Terraform talks to a provider by gRPC, in version 6 of the protocol of plugins. The variable ``TF_REATTACH_PROVIDERS``
leads it to a provider that runs already. This one answers with the schema, and accepts every configuration that
Terraform itself found to fit. It cannot plan or apply, so tests use ``mock_provider``.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import msgpack
from tf.gen import tfplugin_pb2 as plugin
from tf.gen import tfplugin_pb2_grpc as plugin_rpc

REATTACH_VARIABLE = "TF_REATTACH_PROVIDERS"
_NESTING = {"single": 1, "list": 2, "set": 3, "map": 4}  # plugin.Schema.NestedBlock.NestingMode


def _attribute(name: str, said: dict[str, Any]) -> plugin.Schema.Attribute:
    flags = {flag: said[flag] for flag in ("required", "optional", "computed") if flag in said}
    return plugin.Schema.Attribute(name=name, type=json.dumps(said["type"]).encode(), **flags)


def _nested(name: str, said: dict[str, Any]) -> plugin.Schema.NestedBlock:
    limits = {limit: said[limit] for limit in ("min_items", "max_items") if limit in said}
    mode = _NESTING[said["nesting_mode"]]
    return plugin.Schema.NestedBlock(type_name=name, block=_block(said["block"]), nesting=mode, **limits)


def _block(said: dict[str, Any]) -> plugin.Schema.Block:
    return plugin.Schema.Block(
        attributes=[_attribute(*item) for item in said["attributes"].items()],
        block_types=[_nested(*item) for item in said["block_types"].items()],
    )


def _schema(said: dict[str, Any]) -> plugin.Schema:
    return plugin.Schema(version=said["version"], block=_block(said["block"]))


def _set_though_computed(block: dict[str, Any], values: dict[str, Any], path: str = "") -> Iterator[str]:
    """Attributes with a value that only the provider can give; the real one refuses them too."""
    for name, attribute in block["attributes"].items():
        if attribute.get("computed") and not attribute.get("optional") and values.get(name) is not None:
            yield path + name
    for name, nested in block["block_types"].items():
        given = values.get(name)
        for inner in given if isinstance(given, list) else [given]:
            if isinstance(inner, dict):
                yield from _set_though_computed(nested["block"], inner, f"{path}{name}.")


def _refused(block: dict[str, Any], values: dict[str, Any], path: str = "") -> Iterator[str]:
    """Values that the provider's pages do not allow; the real one refuses them when it validates."""
    for name, attribute in block["attributes"].items():
        given = values.get(name)
        for value in given if isinstance(given, list) else [given]:
            if not isinstance(value, str):
                continue  # not given, or known only later
            if "values" in attribute and value not in attribute["values"]:
                yield f"expected {path}{name} to be one of {attribute['values']}, got {value}"
            if "pattern" in attribute and not re.fullmatch(attribute["pattern"], value):
                yield f"{path}{name} {value!r} does not match {attribute['pattern']}"
    for name, nested in block["block_types"].items():
        given = values.get(name)
        for inner in given if isinstance(given, list) else [given]:
            if isinstance(inner, dict):
                yield from _refused(nested["block"], inner, f"{path}{name}.")


class SchemaProvider(plugin_rpc.ProviderServicer):
    """The provider's half of the protocol, as far as validation goes."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema
        # Once: Terraform asks again for each command, and this takes longer than the command.
        self._answer = plugin.GetProviderSchema.Response(
            provider=_schema(schema["provider"]),
            resource_schemas={name: _schema(said) for name, said in schema["resource_schemas"].items()},
            data_source_schemas={name: _schema(said) for name, said in schema["data_source_schemas"].items()},
        )

    def GetProviderSchema(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's names
        return self._answer

    def ValidateProviderConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return plugin.ValidateProviderConfig.Response()

    def ValidateResourceConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        block = self._schema["resource_schemas"][request.type_name]["block"]
        values = msgpack.unpackb(request.config.msgpack, strict_map_key=False)
        faults = [
            f"{name} is decided by the provider and cannot be set." for name in _set_though_computed(block, values)
        ]
        diagnostics = [("Value for unconfigurable attribute", fault) for fault in faults]
        diagnostics += [("Value that the provider refuses", fault) for fault in _refused(block, values)]
        return plugin.ValidateResourceConfig.Response(
            diagnostics=[
                plugin.Diagnostic(
                    severity=plugin.Diagnostic.ERROR, summary=summary, detail=f"{request.type_name}: {detail}"
                )
                for summary, detail in diagnostics
            ]
        )

    def ValidateDataResourceConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return plugin.ValidateDataResourceConfig.Response()

    def ConfigureProvider(self, request: Any, context: Any) -> Any:  # noqa: N802
        return plugin.ConfigureProvider.Response()

    def GetFunctions(self, request: Any, context: Any) -> Any:  # noqa: N802
        return plugin.GetFunctions.Response()

    def StopProvider(self, request: Any, context: Any) -> Any:  # noqa: N802
        return plugin.StopProvider.Response()


@contextmanager
def serving(schema: dict[str, Any]) -> Iterator[str]:
    """Serve on a socket; gives what ``TF_REATTACH_PROVIDERS`` has to say."""
    server = grpc.server(futures.ThreadPoolExecutor(8))
    plugin_rpc.add_ProviderServicer_to_server(SchemaProvider(schema), server)
    with tempfile.TemporaryDirectory() as folder:
        socket = str(Path(folder) / "provider.sock")
        server.add_insecure_port(f"unix://{socket}")
        server.start()
        address = {"Network": "unix", "String": socket}
        # `Test`: Terraform leaves the process alone when it is done.
        reattach = {"Protocol": "grpc", "ProtocolVersion": 6, "Pid": os.getpid(), "Test": True, "Addr": address}
        yield json.dumps({"hashicorp/google": reattach})
        server.stop(grace=None).wait()
