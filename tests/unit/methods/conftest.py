import pytest
from tests.conftest import TOY_PIPELINES
from tests.unit.methods.made_days import COLUMNS, START, TRAINED, features, reference_of

from contrail.config.spec import PipelineSpec, load_spec
from contrail.methods.drift_reference import DriftReference


@pytest.fixture(scope="module")
def spec() -> PipelineSpec:
    toy = load_spec(TOY_PIPELINES / "toy" / "pipeline.yaml").model_dump()
    toy["features"]["columns"] = COLUMNS
    toy["train"] |= {"rate_table": [], "segments": []}
    toy["gate"]["segments"] = []
    return PipelineSpec.model_validate(toy)


@pytest.fixture(scope="module")
def reference(spec: PipelineSpec) -> DriftReference:
    return reference_of(features(START, TRAINED), spec)
