"""The parts of a model card on what a version was made of, and what its training took. They compute no statistic."""

from collections.abc import Iterator

from contrail.methods.model_package import MODEL, TrainingRecord
from contrail.reports.card_records import CardRecords
from contrail.reports.document import Block, Facts, Note, Rows


def data(records: CardRecords) -> Iterator[Block]:
    """The window, the tables, and the snapshots that were read."""
    training = records.card.training
    checked = records.findings.checked if records.findings else None
    yield Facts(
        [
            ("Training window", f"{training.start} to {training.end}"),
            ("Labelled rows", f"{training.rows:,}"),
            ("Labels", f"those known at the cut-off of {training.labels_as_of}"),
            *([("Validation", f"{checked.start} to {checked.end}, {checked.rows:,} rows")] if checked else []),
            ("Embargo", f"{training.embargo_days} days between the parts of the window"),
            *(
                [("Judged on", f"{records.decision.window.start} to {records.decision.window.end}")]
                if records.decision
                else []
            ),
        ]
    )
    docs = {one.name: one.doc for one in records.findings.tables} if records.findings else {}
    docs = docs or {name: table.doc for name, table in records.spec.tables.items()}
    snapshots = dict(training.snapshots)
    rows = [[f"validated_{name}", doc, _id(snapshots.pop(f"validated_{name}", None))] for name, doc in docs.items()]
    own = [
        [name, "The features of each row." if name == "features" else "", _id(found)]
        for name, found in snapshots.items()
    ]
    yield Rows(["Table", "What a row is", "Snapshot that was read"], [*own, *rows], texts=3, code=(0, 2))
    if len(rows) > len(training.snapshots) - 1:
        yield Note("A table without a snapshot was read by the features, whose snapshot names its own inputs.", "soft")


def _id(snapshot: int | None) -> str:
    return "–" if snapshot is None else str(snapshot)


def features(records: CardRecords) -> Iterator[Block]:
    """Every feature with its meaning and its share of the gain."""
    found: list[tuple[str, str, str, float]]
    if records.findings:
        found = [(one.name, one.kind, one.doc, one.gain) for one in records.findings.features]
    else:
        now = records.spec.features.columns
        kinds = {name: "category" if name in records.card.categories else "number" for name in records.card.features}
        found = [
            (name, kinds[name], now[name].doc if name in now else "", records.importance.get(name, 0.0))
            for name in records.card.features
        ]
    ranked = sorted(found, key=lambda one: -one[3])
    yield Note(
        f"It reads {len(ranked)} features. The share is what its splits by a feature gained, of all gains.", "soft"
    )
    yield Rows(
        ["Feature", "Kind", "Meaning", "Share of the gain"],
        [[name, kind, doc or "–", f"{share * 100:.1f} %"] for name, kind, doc, share in ranked],
        title=f"All {len(ranked)} features",
        texts=3,
        folded=True,
        code=(0,),
    )


# ---- decision, cost, training ----


def cost(records: CardRecords) -> Iterator[Block]:
    """Time, and an estimate of energy and carbon that says so."""
    took = records.cost
    if took is None:
        yield Note("Its training recorded no time.", "soft")
        return
    factors = took.factors
    gpu = [("GPU", f"{took.gpu_seconds:,.0f} s")] if took.gpu_seconds else []
    yield Facts(
        [
            ("Time", f"{took.seconds:,.1f} s"),
            ("Processors", f"{took.core_seconds:,.1f} busy core-seconds"),
            *gpu,
            ("Energy, estimated", _small(took.kwh * 1000, "Wh")),
            ("CO2, estimated", _small(took.grams, "g")),
        ],
        tiles=True,
    )
    yield Note(
        f"Energy and CO2 are an estimate, not a measurement: busy seconds × watts ({factors.core_watts:g} a core, "
        f"{factors.gpu_watts:g} a GPU) × {factors.overhead:g} for the building × {factors.grams_per_kwh:g} g of CO2 a kWh. "
        "Memory, disks, network, the making of the machine, and the features are not counted.",
        "warn",
    )
    yield Note(f"Watts: {factors.watts_source}. Grid: {factors.grid_source}.", "soft")
    if took.workers > 1:
        yield Note(f"{took.workers} executors grew the trees. Their seconds are not counted.", "warn")
    yield Note(
        f"What a remote job was billed has its receipt: contrail cost -p {records.name}. On your own machine there is no bill.",
        "soft",
    )


def _small(value: float, unit: str) -> str:
    return f"{value:,.2g} {unit}" if value < 10 else f"{value:,.0f} {unit}"


def training(records: CardRecords) -> Iterator[Block]:
    """What identifies the training, and its parameters."""
    made = records.card.training
    yield Rows(
        ["Recorded", "Value"],
        [[name, value] for name, value in _provenance(records, made) if value],
        texts=2,
        code=(1,),
    )
    parameters = {**made.options, **made.params}
    yield Rows(
        ["Parameter", "Value"],
        [[name, str(value)] for name, value in parameters.items()],
        title=f"{len(parameters)} parameters",
        texts=2,
        folded=True,
        code=(0, 1),
    )


def _provenance(records: CardRecords, training: TrainingRecord) -> list[tuple[str, str]]:
    made = f"{records.made_at:%Y-%m-%d %H:%M:%S} UTC" if records.made_at else ""
    on = f"{training.workers} executors' {training.device}" if training.workers > 1 else training.device
    return [
        ("Registered", made),
        ("MLflow run", records.run_id),
        ("Rounds", f"{training.rounds} on {on}"),
        ("Training set in DVC, MD5", training.training_set_md5),
        ("Landed files in DVC, MD5", records.landed_md5),
        ("Model, SHA-256", records.card.sha256.get(MODEL, "")),
        ("Code revision", training.code_revision),
        ("Libraries, hash of the lock", training.lock_hash),
        ("XGBoost", training.xgboost_version),
        ("Pipeline, hash of its files", training.pipeline_hash),
    ]
