"""All checks of an environment, in the order in which a person mends what they find."""

from contrail.adapters.google_api import GoogleApi
from contrail.config.environment_file import UnsetError
from contrail.config.settings import Settings, settings
from contrail.errors import ContrailError
from contrail.operations.doctor import environment, machine, project, stores
from contrail.operations.doctor.findings import Check, Finding, examine
from contrail.operations.doctor.grants import google_project_of
from contrail.operations.doctor.quotas import quota


def doctor(seconds: float) -> list[Finding]:
    """Check this environment, and change nothing in it.

    Args:
        seconds: How long any check may take. They all run at once.
    """
    try:
        current = settings()
    except ContrailError as error:
        return [_unset(error), Finding(check="all others", state="not checked", said="the settings come first")]
    count = len(current.variables) - 1
    loaded = Finding(
        check="settings", state="ok", said=f"environment {current.name}, {count} variables of its file are set"
    )
    return [loaded, *examine(checks_of(current), seconds)]


def _unset(error: ContrailError) -> Finding:
    if not isinstance(error, UnsetError):
        return Finding(check="settings", state="failed", said=str(error))
    commands = tuple(f"export {name}=…" for name in error.variables)
    return Finding(check="settings", state="failed", said=f"variables of {error.path} are not set", commands=commands)


def checks_of(current: Settings) -> list[Check]:
    """Every check that concerns an environment."""
    found = [*environment.checks(current), *machine.checks(current)]
    if name := google_project_of(current):
        api = GoogleApi(name)
        found += project.checks(current, api)
        for target, place in environment.remote_targets(current).items():
            found.append(Check(f"quota {target}", project.asking(api, quota, api, place)))
    return [*found, *stores.checks(current)]
