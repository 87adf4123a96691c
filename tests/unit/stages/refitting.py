"""A registered model, made again in this process from the training set of its home."""

from pathlib import Path

from contrail.adapters.registry import RegisteredModel, VersionInfo
from contrail.config.settings import settings
from contrail.config.spec import PipelineSpec
from contrail.methods.fit import override
from contrail.operations.reproduce import _asked
from contrail.operations.reproducing.refit import Made, _fit
from contrail.operations.reproducing.workplace import Code


def refitted(model: RegisteredModel, spec: PipelineSpec, scratch: Path) -> Made:
    """What a reproduction makes of it."""
    code = Code(scratch, "", False, settings().pipelines_path)
    asked = _asked(settings(), model, VersionInfo(model.name, model.version, ""), code, scratch)
    window = model.package.card.training.partitions
    rows = settings().home_path / "training_sets" / model.name / f"{window.start}_{window.end}" / "rows.parquet"
    made: Made = _fit(asked.__class__(**{**asked.__dict__, "training_set": str(rows)}), spec, override(spec.train, {}))
    return made
