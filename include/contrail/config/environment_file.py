"""A file of an environment: extended from another, and with the names in braces filled in.

What its keys mean belongs to ``settings``, which alone knows the environment's variables.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contrail.config.yaml_file import read_text, read_yaml
from contrail.errors import SpecError

_BRACES = re.compile(r"\{([a-z_]+)\}")
_SECRET_OPTION = re.compile(
    r"[?&](\w*password|passwd|pwd|secret|token|access_token|api[_-]?key|sig)=[^&]", re.IGNORECASE
)


class UnsetError(SpecError):
    """An environment file names variables that are not set. ``variables`` has all of those of the file at ``path``."""

    def __init__(self, path: Path, names: list[str]) -> None:
        self.path, self.variables = path, [variable_of(name) for name in names]
        braces = ", ".join(f"{{{name}}}" for name in names)
        what = "variable" if len(names) == 1 else "variables"
        super().__init__(f"{path} says {braces}: set the environment {what} {', '.join(self.variables)}")


@dataclass
class EnvironmentFile:
    """A reader of environment files.

    Attributes:
        folders: What the names of folders stand for.
        variables: The environment's variables.
        used: Those of them that files have named.
    """

    folders: Mapping[str, Path]
    variables: Mapping[str, str]
    used: dict[str, str] = field(default_factory=dict)

    def read(self, path: Path, seen: tuple[str, ...]) -> dict[str, Any]:
        """Read the values of a file, over those of the environment that it extends. ``seen`` are the names so far.

        Raises:
            UnsetError: naming every variable that is not set.
            SpecError: for a wrong file, one that extends itself, or one with a password in an address.
        """
        # Filled in after YAML has been read: a quote or a backslash in a folder's name is no syntax.
        unset: list[str] = []
        values = self._with_names(read_yaml(path, read_text(path)).values, unset)
        if unset:
            raise UnsetError(path, sorted(set(unset)))
        _refuse_passwords(path, values)
        base = values.pop("extends", None)
        if base in seen:
            raise SpecError(f"{path}: extends: {' → '.join([*seen, base])} goes in a circle")
        return _merged(self.read(path.with_name(f"{base}.yaml"), (*seen, base)), values) if base else values

    def _with_names(self, value: Any, unset: list[str]) -> Any:
        if isinstance(value, dict):
            return {key: self._with_names(each, unset) for key, each in value.items()}
        if isinstance(value, list):
            return [self._with_names(each, unset) for each in value]
        if isinstance(value, str):
            return _BRACES.sub(lambda found: self._filled(found[1], unset), value)
        return value

    def _filled(self, name: str, unset: list[str]) -> str:
        """What stands for ``{name}``: a folder of this process, or the environment variable ``CONTRAIL_NAME``."""
        if name in self.folders:
            return str(self.folders[name])
        if (variable := variable_of(name)) not in self.variables:
            unset.append(name)
            return ""
        self.used[variable] = self.variables[variable]
        return self.used[variable]


def _refuse_passwords(path: Path, value: Any, key: str = "") -> None:
    """Refuse an address with a password in it: errors, doctor, the page and the lineage show addresses."""
    if isinstance(value, dict):
        for name, each in value.items():
            _refuse_passwords(path, each, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for each in value:
            _refuse_passwords(path, each, key)
    elif isinstance(value, str) and _has_password(value):
        raise SpecError(
            f"{path}: {key} has a password in its address, which messages and logs would show. Take it out. A database "
            "takes it from PGPASSWORD, MLflow from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
        )


def _has_password(text: str) -> bool:
    name, scheme, rest = text.partition("://")
    # A database's client takes all before the last @ for user and password.
    is_database = "sql" in name and not name.startswith("sqlite")
    user, at, _ = (rest if is_database else re.split(r"[/?#]", rest, maxsplit=1)[0]).rpartition("@")
    return bool(scheme) and (bool(at and user.partition(":")[2]) or _SECRET_OPTION.search(rest) is not None)


def _merged(base: Any, over: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    return {**base, **{key: _merged(base.get(key), value) for key, value in over.items()}}


def variable_of(name: str) -> str:
    """The environment variable that fills ``{name}``."""
    return f"CONTRAIL_{name.upper()}"
