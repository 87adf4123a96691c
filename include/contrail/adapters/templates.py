"""Compiled templates of Jinja, kept for the whole process. What templates say does not belong here."""

from jinja2 import BytecodeCache
from jinja2.bccache import Bucket


class Compiled(BytecodeCache):
    """Templates that one process has compiled, for environments with the same extensions and filters.

    Jinja compares a template's text with the text that was compiled.
    """

    def __init__(self) -> None:
        self._found: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Give Jinja what was compiled under this key, if anything."""
        if bucket.key in self._found:
            bucket.bytecode_from_string(self._found[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what Jinja has compiled."""
        self._found[bucket.key] = bucket.bytecode_to_string()
