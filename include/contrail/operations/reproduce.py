"""Make a registered model again from its receipt, and say whether the bytes are the same, or what differs first.

It needs the registry, the remote of data versions and the git history. It publishes nothing, and keeps its outcome beside
the reports, for a score card to cite.
"""

import hashlib
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import yaml

from contrail.adapters.lock_file import lock_text
from contrail.adapters.registry import RegisteredModel, VersionInfo, describe_version, resolve, versions
from contrail.config.pipeline import load_pipeline, pipeline_file
from contrail.config.processors import usable_threads
from contrail.config.settings import Settings
from contrail.errors import SpecError
from contrail.methods.cost import so_many
from contrail.methods.decision_record import REQUEST, TrainingRequest
from contrail.methods.model_package import MODEL, ModelCard
from contrail.methods.tree_difference import first_difference
from contrail.operations.kept_checks import REPRODUCED, keep
from contrail.operations.reproducing.comparing import Kept, compare, threads_of
from contrail.operations.reproducing.fitting import Answer, answers
from contrail.operations.reproducing.refit import Asked, Facts
from contrail.operations.reproducing.results import (
    AFTER,
    DIFFERS,
    Compared,
    Outcome,
    Reproduction,
    cause_of,
    failed_fit,
)
from contrail.operations.reproducing.workplace import Code, code_of, fetch_rows, install, scratch_folder

Progress = Callable[[str], None]
# Files of MLflow beside the model, with the libraries of its training as they were installed.
_REQUIREMENTS, _MLMODEL = "requirements.txt", "MLmodel"
_OLDER = "the code of the training's revision cannot make it apart from a training"


def reproduce(
    settings: Settings, pipeline: str, ref: str, *, environment: bool = False, progress: Progress = print
) -> Reproduction:
    """Fit a registered version again and compare the bytes of its model.

    All that its training recorded is compared with what is here before the fit. So a difference is told as its cause. The
    spec of today need not be valid, since that of the training is read.

    Args:
        settings: Say where the registry, the remote and the home are.
        pipeline: The pipeline's name.
        ref: A version, ``champion``, ``challenger`` or ``latest``.
        environment: Install the kept lock for this run, and fit with its libraries.
        progress: Told what happens.

    Raises:
        SpecError: for a pipeline that has neither a folder nor a registered version.
        MissingInputError: when there is no such version, or ``environment`` has no lock.
        DataError: when its package is damaged in the registry.
        EngineError: when git, uv or the process of the fit fails.
    """
    if not versions(settings, pipeline):
        pipeline_file(pipeline)  # a registered model can be made again without its folder, but a misspelt name cannot
    info = describe_version(settings, pipeline, ref)
    model = resolve(settings, pipeline, info.version)  # an alias may have moved meanwhile
    record = model.package.card.training
    with scratch_folder(settings) as scratch, code_of(settings, record, scratch) as code:
        progress(f"version {model.version}, code {code.revision}")
        rows, why = fetch_rows(settings, record, scratch)
        lock = lock_text(settings.project_path, record.lock_hash, record.code_revision)
        kept = Kept(record, lock, _installed_then(model), why)
        asked = _asked(settings, model, info, code, scratch)
        # No facts are needed to know that something prevents a fit.
        fits = not any(one.prevents for one in compare(kept, code, Facts()))
        asked = replace(asked, training_set=str(rows)) if fits else asked
        python = install(lock, scratch, progress) if environment and fits else Path(sys.executable)
        started, compared = time.monotonic(), list[Compared]()

        def told(facts: Facts) -> None:
            compared[:] = compare(kept, code, facts)
            for one in compared:
                if one.state == DIFFERS:
                    progress(f"{one.what}: {one.says}")
            if fits:
                progress(
                    f"fitting {so_many(record.rows, 'row')} with {so_many(usable_threads(asked.threads), 'thread')}"
                )

        answer = answers(python, code, asked, scratch, told)
        seconds = round(time.monotonic() - started, 1)
        found = tuple(compared) or compare(kept, code, Facts())
        if answer.failed:
            found = (*found, failed_fit(answer.failed))
        made = Path(asked.model).read_bytes() if answer.made else None
        concluded = _concluded(model, found, answer, made, seconds, environment)
    _keep(settings, concluded)
    return concluded


def _keep(settings: Settings, found: Reproduction) -> None:
    """Keep the outcome, for a score card to cite. A pipeline whose spec is broken today has no place for it."""
    with suppress(SpecError):
        says = f"version {found.version} was fitted again: {found.says}"
        keep(load_pipeline(found.pipeline), settings, REPRODUCED, passed=found.whole, says=says, version=found.version)


def _installed_then(model: RegisteredModel) -> dict[str, str]:
    """The versions of libraries that MLflow wrote beside the model, and of XGBoost and Python."""
    found: dict[str, str] = {}
    requirements, mlmodel = model.folder / _REQUIREMENTS, model.folder / _MLMODEL
    for line in requirements.read_text().splitlines() if requirements.exists() else ():
        name, _, version = line.partition("==")
        found[name.strip().lower()] = version.strip()
    if mlmodel.exists():
        flavors = (yaml.safe_load(mlmodel.read_text()) or {}).get("flavors", {})
        if python := str(flavors.get("python_function", {}).get("python_version", "")):
            found["python"] = ".".join(python.split(".")[:2])
    found["xgboost"] = model.package.card.training.xgboost_version
    return {name: version for name, version in found.items() if version}


def _asked(settings: Settings, model: RegisteredModel, info: VersionInfo, code: Code, scratch: Path) -> Asked:
    record = model.package.card.training
    changed: Mapping[str, object] = {}
    if request := info.tags.get(REQUEST):
        changed = TrainingRequest.model_validate_json(request).parameters
    return Asked(
        pipeline_file=str(code.pipelines / model.name / "pipeline.yaml"),
        start=str(record.start),
        end=str(record.end),
        embargo_days=record.embargo_days,
        changed=changed,
        params=record.params,
        options=record.options,
        device=record.device,
        threads=threads_of(record),
        memory_bytes=settings.memory_bytes,
        room=str(scratch / "rows"),
        model=str(scratch / MODEL),
        score=_score(model.package.card),
    )


def _score(card: ModelCard) -> dict[str, object] | None:
    """What the training read of the spec to learn what follows the trees; None where nothing does."""
    if not _after(card):
        return None
    costs = card.decision.costs.model_dump() if card.decision else None
    return {"costs": costs, "interval": card.interval.share if card.interval else None}


def _after(card: ModelCard) -> dict[str, object]:
    """What follows the trees, by its name in the card."""
    learned = {name: getattr(card, name) for name in AFTER}
    return {name: one.model_dump(mode="json") for name, one in learned.items() if one is not None}


def _concluded(
    model: RegisteredModel,
    compared: tuple[Compared, ...],
    answer: Answer,
    made: bytes | None,
    seconds: float,
    environment: bool,
) -> Reproduction:
    card, package = model.package.card, model.package
    difference, recorded, again = "", _after(model.package.card), answer.made.after if answer.made else None
    if made is not None and answer.made is not None:
        encoding = card.features, {name: list(values) for name, values in card.categories.items()}
        difference = first_difference(package.booster_bytes, made)
        if not difference and encoding != (tuple(answer.made.features), dict(answer.made.categories)):
            difference = "the trees are the same, but their features or the values of their categories are not"
        others = [words for name, words in AFTER.items() if again is not None and again.get(name) != recorded.get(name)]
        if not difference and others:
            difference = f"the trees are the same, but what follows them differs: {', '.join(others)}"
    outcome: Outcome = "not fitted" if made is None else "other bytes" if difference else "same bytes"
    names = tuple(words for name, words in AFTER.items() if name in recorded)
    return Reproduction(
        pipeline=model.name,
        version=model.version,
        start=card.training.start,
        end=card.training.end,
        rows=card.training.rows,
        outcome=outcome,
        compared=compared,
        cause=None if outcome == "same bytes" else cause_of(compared),
        difference=difference,
        recorded_sha256=card.sha256[MODEL],
        made_sha256=None if made is None else hashlib.sha256(made).hexdigest(),
        rounds=answer.made.rounds if answer.made else None,
        seconds=seconds if made is not None else None,
        environment=environment,
        after=names if again is not None else (),
        left_out=names if answer.made is not None and again is None else (),
        left_out_why=answer.made.not_after or _OLDER if answer.made is not None and again is None and names else "",
    )
