"""The model card of a version: gathered from its records, and kept as files of its run in MLflow.

A training makes the first card of a version. Each decision and each move of an alias makes it anew, because both are on
it. What a card says is in ``contrail.reports.model_card``.
"""

from contrail.adapters import registry
from contrail.adapters.google_errors import google_errors
from contrail.adapters.machine_errors import machine_errors
from contrail.adapters.registry import VersionInfo
from contrail.config.pipeline import Pipeline
from contrail.config.validation_errors import parse_json
from contrail.errors import ContrailError
from contrail.files import scratch
from contrail.lake.lake import Lake
from contrail.lake.model_history import read_moves
from contrail.methods.decision_record import REQUEST, DecisionRecord, TrainingRequest
from contrail.methods.energy import COST, TrainingCost
from contrail.methods.findings import findings_of
from contrail.methods.fit import importance_of
from contrail.reports.card_records import CardRecords
from contrail.reports.model_card import model_card_text, render_model_card
from contrail.stages.base import StageRun
from contrail.stages.options import StageOptions

FOLDER = "model_card"  # of a run in MLflow
LANDED_MD5 = "dvc_landed_files_md5"


def card_records(lake: Lake, pipeline: Pipeline, ref: str) -> CardRecords:
    """Read all records of a version.

    Args:
        lake: Of the pipeline.
        pipeline: As it is now.
        ref: ``champion``, ``challenger``, ``latest`` or a version number.

    Raises:
        MissingInputError: when there is no such version.
        DataError: when its package is damaged.
    """
    settings = lake.settings
    entry = registry.describe_version(settings, pipeline.name, ref)
    package = registry.resolve(settings, pipeline.name, entry.version).package
    asked, cost = entry.tags.get(REQUEST), entry.tags.get(COST)
    decision, lost = _decision(lake, entry)
    return CardRecords(
        name=pipeline.name,
        version=entry.version,
        made_at=entry.made_at,
        run_id=entry.run_id,
        card=package.card,
        findings=findings_of(package),
        importance=importance_of(package.booster, package.card.features),
        request=parse_json(TrainingRequest, asked, f"the tag {REQUEST}") if asked else None,
        decision=decision,
        decision_lost=lost,
        moves=tuple(read_moves(lake)),
        cost=parse_json(TrainingCost, cost, f"the tag {COST}") if cost else None,
        landed_md5=entry.tags.get(LANDED_MD5, ""),
        spec=pipeline.spec,
    )


def _decision(lake: Lake, entry: VersionInfo) -> tuple[DecisionRecord | None, str]:
    """The newest decision, or why it cannot be read. A card is of use without it."""
    kept = entry.tags.get(registry.DECISION_RECORD)
    if not kept:
        return None, ""
    near = lake.settings.reports / entry.name / "decisions" / kept.rpartition("/")[2]
    try:
        # Where the reports have it, MLflow need not be loaded, which takes seconds.
        text = near.read_bytes() if near.exists() else registry.read_file(lake.settings, entry, kept)
        return parse_json(DecisionRecord, text, kept), ""
    except ContrailError as error:
        return None, f"Its decision record cannot be read: {error}"


def keep_card(run: StageRun[StageOptions], *versions: str | None) -> None:
    """Write the cards of versions to their runs in MLflow.

    What was decided is done by then. So a card that cannot be written does not fail the run, which says so.
    """
    for version in dict.fromkeys(one for one in versions if one):
        try:
            with machine_errors(), google_errors():
                _write(run, version)
        except ContrailError as error:
            run.progress(
                f"the model card of version {version} was not written: {error}. To read it: contrail model-card "
                f"-p {run.pipeline.name} {version}"
            )


def _write(run: StageRun[StageOptions], version: str) -> None:
    entry = registry.describe_version(run.settings, run.pipeline.name, version)
    records = card_records(run.lake, run.pipeline, version)
    with scratch("contrail-card-") as place:
        (place / "model_card.html").write_text(render_model_card(records), encoding="utf-8")
        (place / "model_card.md").write_text(model_card_text(records), encoding="utf-8")
        registry.log_files(run.settings, entry, place, FOLDER)
