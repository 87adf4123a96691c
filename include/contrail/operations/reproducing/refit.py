"""Fit a recorded training again from its frozen rows, in a process of its own, with the code of the training's revision.

``fitting`` starts it by its path. A revision that has this file is fitted by its own, an older one by today's. So it
imports only what revisions since November 2026 have, and what it is asked and answers may only grow. It prints a line of
JSON for each answer: first ``facts``, then ``made``; or ``failed``.
"""

import json
import os
import platform
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from importlib import metadata
from pathlib import Path
from typing import Any

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """What is asked: facts about the code and the libraries here and, with a ``training_set``, the model.

    ``changed`` are the parameters that the training's request changed. ``params`` and ``options`` are the recorded ones.
    ``model`` is the file that the model is written to. ``memory_bytes`` limit the rows in memory; the others are in files
    in ``room``. ``score`` has the costs and the share of intervals that the training read; None: nothing follows the trees.
    """

    pipeline_file: str
    start: str
    end: str
    embargo_days: int
    changed: Values
    params: Values
    options: Values
    device: str
    threads: int
    memory_bytes: int
    room: str
    model: str
    training_set: str | None = None
    score: Values | None = None


@dataclass(frozen=True)
class Facts:
    """What is known before the fit. ``loaded`` names the libraries that the fit needs, of all that are ``installed``.

    ``params`` and ``options`` are those that this code makes of the pipeline's file and the request.
    """

    package: str = ""
    code_hash: str = ""
    pipeline_hash: str = ""
    python: str = ""
    installed: Mapping[str, str] = field(default_factory=dict)
    loaded: tuple[str, ...] = ()
    params: Values = field(default_factory=dict)
    options: Values = field(default_factory=dict)


@dataclass(frozen=True)
class Made:
    """The model that was made: its features and their categories, as the fit encoded them, and its rounds.

    ``after`` is what follows the trees, by the names of the card. ``not_after`` says why this code could not make it.
    """

    rounds: int = 0
    features: tuple[str, ...] = ()
    categories: Mapping[str, list[str]] = field(default_factory=dict)
    after: Values | None = None
    not_after: str = ""


def known(kind: type, values: Values) -> Any:
    """Make one of these of JSON. A key that this revision does not know is left out."""
    names = {one.name for one in fields(kind)}
    return kind(**{name: value for name, value in values.items() if name in names})


def main(path: str) -> None:
    """Answer what the file asks."""
    threading.Thread(target=_end_with_the_asker, daemon=True).start()
    asked: Asked = known(Asked, json.loads(Path(path).read_text()))
    try:
        from contrail.config.spec import load_spec
        from contrail.methods.fit import booster_params, override

        spec = load_spec(Path(asked.pipeline_file))
        settings = override(spec.train, dict(asked.changed))
        _say("facts", _facts(asked, settings, booster_params(spec.task, settings)))
        if asked.training_set:
            _say("made", _fit(asked, spec, settings))
    except Exception as error:  # the code may be of any revision; the asker tells what it said
        _say("failed", f"{type(error).__name__}: {error}")


def _end_with_the_asker() -> None:
    """Its end of the pipe closes when it dies. Then nobody wants the model, and its folder will be removed."""
    os.read(0, 1)  # not sys.stdin, whose lock this thread would hold when Python ends
    os._exit(1)


def _say(kind: str, answer: Any) -> None:
    said = json.dumps({kind: answer if isinstance(answer, str) else asdict(answer)}, default=str)
    sys.stdout.write(f"{said}\n")
    sys.stdout.flush()


def _facts(asked: Asked, settings: Any, params: Values) -> Facts:
    from contrail import revision
    from contrail.config.spec import spec_hash

    # A package without a file is shared by libraries, of which others may be loaded.
    modules = [name for name, module in sys.modules.items() if "." not in name and getattr(module, "__file__", None)]
    owners = metadata.packages_distributions()
    return Facts(
        package=str(Path(revision.__file__).parent),
        code_hash=revision.code_hash() if hasattr(revision, "code_hash") else "",
        pipeline_hash=spec_hash(Path(asked.pipeline_file).parent),
        python=platform.python_version(),
        installed=installed(),
        loaded=tuple(sorted({_plain(name) for module in modules for name in owners.get(module, ())})),
        params=params,
        options={name: getattr(settings, name) for name in asked.options if hasattr(settings, name)},
    )


def installed() -> dict[str, str]:
    """Return the version of each library. Of one that is there twice, as in an environment over another, it is the first.

    Python imports that one.
    """
    found: dict[str, str] = {}
    for one in metadata.distributions():
        if one.metadata["Name"]:
            found.setdefault(_plain(one.metadata["Name"]), one.version)
    return found


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _fit(asked: Asked, spec: Any, settings: Any) -> Made:
    import pyarrow.parquet as pq

    from contrail.lake.datasets import PARTITION
    from contrail.methods.fit import Method, fit_trees
    from contrail.methods.splits import split_window
    from contrail.partitions import Partitions

    recorded = {**asked.options, "embargo_days": asked.embargo_days, "device": asked.device}
    settings = settings.model_copy(update={name: value for name, value in recorded.items() if hasattr(settings, name)})
    window = Partitions.parse(asked.start, asked.end)
    split = split_window(window, settings.validation_days, settings.embargo_days)
    days = pq.read_table(asked.training_set, columns=[PARTITION]).column(PARTITION).to_numpy()
    rows = _with_offset(_rows(asked, spec, settings), settings, spec.task)
    method = Method(settings, {**asked.params, "nthread": asked.threads})
    fitted = fit_trees(rows, *split.masks(days), method)
    Path(asked.model).write_bytes(fitted.model)
    categories = {name: list(values) for name, values in rows.categories.items()}
    made = Made(fitted.rounds, tuple(rows.names), categories)
    if asked.score is None:
        return made
    try:
        return replace(made, after=_after(asked, spec, method, rows, days, fitted))
    except Exception as error:  # the trees are made all the same
        return replace(made, not_after=f"{type(error).__name__}: {error}")


def _after(asked: Asked, spec: Any, method: Any, rows: Any, days: Any, fitted: Any) -> Values:
    """What follows the trees: the calibration step, the threshold and the interval, as the training learned them."""
    import numpy as np

    from contrail.config.model_spec import CostSpec
    from contrail.config.pipeline import Pipeline
    from contrail.config.settings import settings
    from contrail.lake.lake import Lake
    from contrail.methods.splits import split_window
    from contrail.partitions import Partitions
    from contrail.stages.base import StageRun
    from contrail.stages.options import TrainOptions
    from contrail.stages.training.base import DayLabels, Training, TrainingWindow, WindowRows
    from contrail.stages.training.unseen import unseen

    score, window = dict(asked.score or {}), Partitions.parse(asked.start, asked.end)
    score["costs"] = CostSpec(**score["costs"]) if score["costs"] else None
    spec = spec.model_copy(update={"score": spec.score.model_copy(update=score)})
    here = settings().model_copy(update={"memory_limit": asked.memory_bytes})
    pipeline = Pipeline(Path(asked.pipeline_file).parent, spec)
    run = StageRun("train", pipeline, window, here, Lake(here, spec.name), "reproduce", TrainOptions())
    known_days, first, counts = np.unique(days, return_index=True, return_counts=True)
    labels = DayLabels(known_days, counts, *(part.reduceat(rows.labels, first) for part in (np.minimum, np.maximum)))
    read = TrainingWindow(WindowRows(rows, labels, (), Path(str(asked.training_set))), {}, window.end)
    split = split_window(window, method.settings.validation_days, method.settings.embargo_days)
    found = unseen(Training(run, method, split, read, {}), fitted)
    learned = {"calibration": found.calibration, "decision": found.decision, "interval": found.interval}
    return {name: one.model_dump(mode="json") for name, one in learned.items() if one is not None}


def _rows(asked: Asked, spec: Any, settings: Any) -> Any:
    """The frozen rows as XGBoost reads them, a row group at a time."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from contrail.methods import matrices

    try:
        from contrail.methods.encoded_rows import EncodedRows, Room
    except ImportError:  # a revision from before rows were encoded as a stream
        return matrices.encode_window(pq.read_table(asked.training_set), spec, settings.external_memory_rows)
    from contrail.methods.encoding import category_table

    names, categories, labels = tuple(spec.features.columns), spec.features.categories, []
    with pq.ParquetFile(asked.training_set) as file:
        groups = range(file.num_row_groups)
        values = {
            name: pa.chunked_array([file.read_row_group(n, [name]).column(name).unique() for n in groups])
            for name in categories
        }
        room = Room(asked.memory_bytes // 4, asked.memory_bytes // 2, Path(asked.room))
        encoded = EncodedRows(names, category_table(values, categories), room)
        for n in groups:
            own = file.read_row_group(n, [*names, "label"])
            encoded.append(own)
            labels.append(own.column("label").to_numpy().astype(np.float32))
    most = settings.external_memory_rows
    return matrices.TrainingRows(encoded, np.concatenate(labels), 0 < most < len(encoded))


def _with_offset(rows: Any, settings: Any, task: Any) -> Any:
    if not getattr(settings, "offset", None):  # or a revision from before there was one
        return rows
    from contrail.methods.matrices import with_offset

    return with_offset(rows, settings, task)


if __name__ == "__main__":
    main(sys.argv[1])
