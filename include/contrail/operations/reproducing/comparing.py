"""What a training recorded beside what is here, one thing at a time. Which of them made another model is not decided here."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from packaging.markers import Marker

from contrail.adapters.lock_file import libraries
from contrail.config.processors import processor, usable_threads
from contrail.methods.model_package import TrainingRecord
from contrail.methods.trainer import gpu_memory
from contrail.operations.reproducing.refit import Facts
from contrail.operations.reproducing.results import DIFFERS, SAME, UNKNOWN, Compared, State
from contrail.operations.reproducing.workplace import Code

_SHORT = 12  # characters of a hash that a person compares
_NAMED = 4  # libraries or parameters that a cell names
_MISSING = "none"
_OLDER = "trainings did not record the processor yet"


@dataclass(frozen=True)
class Kept:
    """What is kept of a training: its record, its lock, and the versions of libraries beside its model.

    ``data`` says why its rows are not here; it is None where they are.
    """

    record: TrainingRecord
    lock: str | None
    libraries: Mapping[str, str]
    data: str | None


def compare(kept: Kept, code: Code, facts: Facts) -> tuple[Compared, ...]:
    """Compare everything that a model depends on, in the order in which a cause is looked for."""
    ways: tuple[Callable[[Kept, Code, Facts], Compared], ...] = (
        _data, _code, _pipeline, _parameters, _threads, _lock, _libraries, _hardware,
    )  # fmt: skip
    return tuple(way(kept, code, facts) for way in ways)


def _data(kept: Kept, code: Code, facts: Facts) -> Compared:
    md5 = kept.record.training_set_md5
    if kept.data is None:
        return Compared(what="data", recorded=f"MD5 {md5}", here=f"MD5 {md5}", state=SAME)
    return Compared(
        what="data", recorded=f"MD5 {md5}", here="not these rows", state=DIFFERS, says=kept.data, prevents=True
    )


def _code(kept: Kept, code: Code, facts: Facts) -> Compared:
    record, says = kept.record, ""
    if record.code_hash and facts.code_hash:
        state: State = SAME if record.code_hash == facts.code_hash else DIFFERS
    elif code.kept:  # else the revision had changes that nobody committed
        state = SAME if record.code_revision == code.revision else UNKNOWN
    else:
        state = DIFFERS
    if state != SAME and code.kept:
        says = "the training ran code that its revision does not have: changes that nobody committed"
    elif state != SAME:
        says = "this repository does not have the training's revision; a shallow clone gets it by git fetch --unshallow"
    return Compared(what="code", recorded=record.code_revision, here=code.revision, state=state, says=says)


def _pipeline(kept: Kept, code: Code, facts: Facts) -> Compared:
    recorded, here = kept.record.pipeline_hash, facts.pipeline_hash
    says = "pipeline.yaml, or Python beside it, is not as it was at the training"
    return _of_hashes("pipeline's files", recorded, here, says if here else "nobody could load them")


def _of_hashes(what: str, recorded: str, here: str, says: str) -> Compared:
    state: State = SAME if recorded == here else DIFFERS if here else UNKNOWN
    said = "" if state == SAME else says
    return Compared(what=what, recorded=recorded[:_SHORT], here=here[:_SHORT] or _MISSING, state=state, says=said)


def _parameters(kept: Kept, code: Code, facts: Facts) -> Compared:
    record = kept.record
    # The threads have a line of their own.
    then = {**record.options, **{name: value for name, value in record.params.items() if name != "nthread"}}
    here = {**facts.options, **{name: value for name, value in facts.params.items() if name != "nthread"}}
    if not facts.params:
        return Compared(
            what="parameters", recorded=_so_many(then), here=_MISSING, state=UNKNOWN, says="nobody could load them"
        )
    names = [name for name in dict.fromkeys([*then, *here]) if then.get(name) != here.get(name)]
    if not names:
        return Compared(what="parameters", recorded=_so_many(then), here=_so_many(here), state=SAME)
    said = ", ".join(
        f"{name} was {_value(then, name)}, the pipeline's file says {_value(here, name)}" for name in names
    )
    return Compared(
        what="parameters", recorded=_listed(names, then), here=_listed(names, here), state=DIFFERS, says=said
    )


def _so_many(values: Mapping[str, Any]) -> str:
    return f"{len(values)} values"


def _value(values: Mapping[str, Any], name: str) -> str:
    return json.dumps(values[name]) if name in values else "not set"


def _listed(names: list[str], values: Mapping[str, Any]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(f"{name}={_value(values, name)}" for name in names[:_NAMED]) + more


def _threads(kept: Kept, code: Code, facts: Facts) -> Compared:
    wanted = threads_of(kept.record)
    here = usable_threads(wanted)
    says = "" if here == wanted else "OMP_THREAD_LIMIT, or a limit on this container's processors, allows no more"
    state: State = SAME if here == wanted else DIFFERS
    return Compared(what="threads", recorded=str(wanted), here=str(here), state=state, says=says)


def threads_of(record: TrainingRecord) -> int:
    """The threads of a training. A record of before they were counted has those that it asked for."""
    return record.threads or int(record.params.get("nthread", 1))


def _lock(kept: Kept, code: Code, facts: Facts) -> Compared:
    digest = kept.record.lock_hash
    if kept.lock is not None:
        return Compared(what="lock", recorded=digest[:_SHORT], here=digest[:_SHORT], state=SAME)
    says = "the lock of the training is neither here nor in its git revision"
    return Compared(what="lock", recorded=digest[:_SHORT] or _MISSING, here=_MISSING, state=UNKNOWN, says=says)


def _libraries(kept: Kept, code: Code, facts: Facts) -> Compared:
    """Compare the libraries that the fit loads. Others cannot change a model, so their number is only told."""
    then = {**_locked(kept.lock or "", facts.python), **kept.libraries}
    if not facts.installed:
        return Compared(
            what="libraries", recorded=_so_many(then), here=_MISSING, state=UNKNOWN, says="nobody asked them"
        )
    here = {**facts.installed, "python": _minor(facts.python)}
    other = [name for name, version in then.items() if name in here and here[name] != version]
    loaded = {*facts.loaded, "python"}
    told = sorted(name for name in other if name in loaded)
    idle = _idle(len(other) - len(told))
    if not told:
        compared = sum(name in loaded for name in then)
        return Compared(
            what="libraries", recorded=f"{compared} of the fit", here=f"{compared} of the fit", state=SAME, says=idle
        )
    said = ", ".join(f"{name} was {then[name]}, here it is {here[name]}" for name in told)
    return Compared(
        what="libraries", recorded=_versions(told, then), here=_versions(told, here), state=DIFFERS,
        says="; ".join(filter(None, [said, idle])),
    )  # fmt: skip


def _idle(count: int) -> str:
    which = (
        "1 other that the fit does not load differs"
        if count == 1
        else f"{count} others that the fit does not load differ"
    )
    return f"{which} too" if count else ""


def _versions(names: list[str], versions: Mapping[str, str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(f"{name} {versions[name]}" for name in names[:_NAMED]) + more


def _locked(lock: str, python: str) -> dict[str, str]:
    """The locked version of each library on this system, for a Python."""
    version = {"python_full_version": python, "python_version": _minor(python)} if python else {}
    return {one.name: one.version for one in libraries(lock) if not one.marker or Marker(one.marker).evaluate(version)}


def _minor(python: str) -> str:
    return ".".join(python.split(".")[:2])


def _hardware(kept: Kept, code: Code, facts: Facts) -> Compared:
    record, here = kept.record, processor()
    if record.workers > 1:
        return Compared(
            what="hardware", recorded=f"{record.workers} executors", here="one process", state=DIFFERS, prevents=True,
            says="executors of Spark grew the trees together, with threads that they chose",
        )  # fmt: skip
    if record.device == "cuda" and not gpu_memory():
        return Compared(
            what="hardware", recorded="GPU", here=here, state=DIFFERS, prevents=True,
            says="a GPU grew the trees, and there is none here; a CPU makes other bytes",
        )  # fmt: skip
    if not record.processor:
        return Compared(what="hardware", recorded="not recorded", here=here, state=UNKNOWN, says=_OLDER)
    state: State = SAME if record.processor == here else DIFFERS
    says = "" if state == SAME else "another processor may round the last bit of a sum differently"
    return Compared(what="hardware", recorded=record.processor, here=here, state=state, says=says)
