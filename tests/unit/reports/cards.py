"""The records of a version, made by hand, with hostile texts wherever data or a person may bring one."""

from datetime import UTC, date, datetime

from tests.conftest import TOY_PIPELINES
from tests.unit.methods.test_decision_record import RECORD
from tests.unit.reports.hostile import HOSTILE

from contrail.config.energy import EnergySettings
from contrail.config.readme import ReadmeSections
from contrail.config.spec import load_spec
from contrail.lake.model_history import AliasMove
from contrail.methods.baselines import RateTable
from contrail.methods.calibration import Period
from contrail.methods.checks import Check
from contrail.methods.decision_record import TrainingRequest
from contrail.methods.energy import TrainingCost
from contrail.methods.explanations import Dependence, Effect, Explanations
from contrail.methods.findings import CalibrationBin, Checked, FeatureRead, Findings, TableRead
from contrail.methods.model_package import ModelCard, TrainingRecord
from contrail.methods.segments import Group, Grouped, Measured
from contrail.reports.card_records import CardRecords

EVIL = HOSTILE[0]
SURE, VAGUE = Measured(value=0.2, low=0.1, high=0.3), Measured(value=-0.1, low=-0.2, high=0.1)
RATES = ("label_mean", "flagged", "false_positives", "false_negatives", "precision", "bias", "calibration_error")
GROUPS = tuple(
    Group(
        name=name,
        rows=900 - at,
        measures=dict.fromkeys((*RATES, "auc", "log_loss"), Measured(value=0.6, low=0.4, high=0.7)),
        differences=dict.fromkeys(RATES[:-1], SURE if at == 0 else VAGUE),
    )
    for at, name in enumerate(HOSTILE)
)
BY_NAME = Grouped(column="depot", groups=GROUPS, left_out=3, left_out_rows=40)
CARD = ModelCard(
    pipeline="toy",
    task="binary",
    label="delay > 15",
    label_mean=0.25,
    features=("depot", "weight"),
    categories={"depot": list(HOSTILE)},
    rate_table=RateTable(features=(), overall=0.25, groups={}),
    training=TrainingRecord(
        start=date(2024, 1, 1),
        end=date(2024, 2, 9),
        labels_as_of=date(2024, 2, 10),
        embargo_days=1,
        rows=2340,
        feature_snapshot=7,
        snapshots={"features": 7, "validated_parcels": 8, "validated_deliveries": 9},
        training_set_md5="abc",
        rounds=12,
        device="cpu",
        params={"max_depth": 3, "note": EVIL},
        options={"seed": 0},
        code_revision="e5",
        lock_hash="f2",
        pipeline_hash="f1",
        xgboost_version="3.2.0",
    ),
)
DEPENDENCES = (
    Dependence(
        feature="weight", points=(1.0, 2.0, 9.5), mean=(0.1, 0.2, 0.4), low=(0.0, 0.1, 0.2), high=(0.3, 0.4, 0.6),
        lines=((0.1, 0.2, 0.9),), missing=0.25,
    ),
    Dependence(feature="depot", points=HOSTILE[:2], mean=(0.1, 0.2), low=(0.1, 0.1), high=(0.3, 0.4), lines=((0.1, 0.2),)),
)  # fmt: skip
FINDINGS = Findings(
    title=f"Late {EVIL}",
    description=f"Which parcels {EVIL} are late.",
    owner=EVIL,
    readme=ReadmeSections(intended_use=f"For {EVIL}.\n\n- `x` {EVIL}", limits=f"Not {EVIL}"),
    tables=(TableRead(name="parcels", doc=EVIL), TableRead(name="deliveries", doc="Outcomes.")),
    features=(
        FeatureRead(name="depot", kind="category", doc=EVIL, gain=0.9),
        FeatureRead(name="weight", kind="number", doc="Kilograms.", gain=0.1),
    ),
    immature=("2024-02-09",),
    threshold=0.5,
    checked=Checked(
        start=date(2024, 2, 3),
        end=date(2024, 2, 8),
        days=6,
        rows=360,
        label_mean=0.25,
        metrics={"auc": Measured(value=0.61, low=0.55, high=0.7), "calibration_error": Measured(value=0.03)},
        baselines={"rate table": {"auc": 0.55}, "training mean": {"auc": 0.5}},
        months=(
            Period(
                start=date(2024, 2, 3), end=date(2024, 2, 8), days=6, rows=360, label_mean=0.25, prediction_mean=0.2,
                calibration_error=0.05,
            ),
        ),
        calibration=tuple(
            CalibrationBin(predicted=at / 10, found=Measured(value=at / 11, low=at / 12, high=at / 9), rows=36)
            for at in range(10)
        ),
    ),
    segments=(BY_NAME,),
    explanations=Explanations(
        rows=2000, low=-0.5, high=1.0, others=0, dependence_rows=500, dependences=DEPENDENCES,
        effects=(
            Effect(feature="weight", kind="number", size=0.3, counts=(5, 0, 7), levels=(0.1, None, 0.9)),
            Effect(feature="depot", kind="category", size=0.1, counts=(2, 10, 0), levels=(None, None, None)),
        ),
    ),
    fairness=(BY_NAME,),
)  # fmt: skip
DECISION = RECORD.model_copy(
    update={
        "title": EVIL,
        "summary": f"passed {EVIL}",
        "reason": EVIL,
        "checks": (
            Check(name="approval", title="Approved by a person", passed=True, detail=f"approved by ann: {EVIL}"),
        ),
    }
)
MOVE = AliasMove("champion", None, "7", date(2024, 3, 10), datetime(2024, 3, 10, 6, tzinfo=UTC), EVIL, EVIL, "r1")
RECORDS = CardRecords(
    name="toy",
    version="7",
    made_at=datetime(2024, 2, 10, 6, tzinfo=UTC),
    run_id="m1",
    card=CARD,
    findings=FINDINGS,
    importance={"depot": 0.9, "weight": 0.1, "distance": 0.0},
    request=TrainingRequest(person="ann", reason=EVIL, parameters={"eta": EVIL}),
    decision=DECISION,
    decision_lost="",
    moves=(MOVE,),
    cost=TrainingCost(seconds=9, core_seconds=18, gpu_seconds=0, workers=1, factors=EnergySettings()),
    landed_md5="d4.dir",
    spec=load_spec(TOY_PIPELINES / "toy" / "pipeline.yaml"),
)
