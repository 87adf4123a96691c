"""The environment files: how they are filled and extended, and the words that refuse a wrong one."""

import re
from pathlib import Path

import pytest

from contrail.adapters import engine
from contrail.config.environment_file import UnsetError
from contrail.config.prices import load_prices
from contrail.config.runtimes import RUNTIMES, unfit
from contrail.config.settings import Settings, enter_sandbox, settings
from contrail.config.targets import DataprocTarget, VertexTarget
from contrail.errors import SpecError
from contrail.methods.cost import expected_cost

PROJECT = Path(__file__).resolve().parents[3]
GIVEN = {
    "CONTRAIL_GCP_PROJECT": "acme", "CONTRAIL_GCP_REGION": "europe-west1", "CONTRAIL_LANDING_BUCKET": "acme-landing",
    "CONTRAIL_LAKE_BUCKET": "acme-lake", "CONTRAIL_ARTIFACTS_BUCKET": "acme-artifacts", "CONTRAIL_SCRATCH_BUCKET": "acme-scratch",
    "CONTRAIL_CATALOG_URI": "https://catalog", "CONTRAIL_SPARK_ACCOUNT": "spark@acme", "CONTRAIL_TRAIN_ACCOUNT": "train@acme",
    "CONTRAIL_SUBNETWORK": "jobs", "CONTRAIL_NETWORK": "n", "CONTRAIL_TEAM": "t", "CONTRAIL_COST_CENTRE": "c",
    "CONTRAIL_JOB_IMAGE": "job:1", "CONTRAIL_MLFLOW_URI": "https://mlflow",
}  # fmt: skip


def load(monkeypatch: pytest.MonkeyPatch, environment: str, **changed: str) -> Settings:
    for name, value in {**GIVEN, "CONTRAIL_ENV": environment, **changed}.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    try:
        return settings()
    finally:
        settings.cache_clear()


def test_prod_is_filled_and_says_what_its_jobs_need(monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(monkeypatch, "prod")
    assert str(found.landing) == "gs://acme-landing/landing"
    target = found.dispatch.target_of("flight_delay", "features")
    assert isinstance(target, DataprocTarget)
    assert (target.project, target.runtime_version) == ("acme", "3.0")
    assert found.variables == {**GIVEN, "CONTRAIL_ENV": "prod"}


def test_the_shuffles_of_prod_keep_every_core_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    target = load(monkeypatch, "prod").dispatch.target_of("flight_delay", "features")
    assert isinstance(target, DataprocTarget)
    cores = int(target.properties["spark.dynamicAllocation.maxExecutors"]) * 4  # as Dataproc's executors have
    assert int(engine._BY_SIZE["spark.sql.adaptive.coalescePartitions.initialPartitionNum"]) >= 2 * cores
    assert "spark.sql.shuffle.partitions" not in target.properties, "a fixed number is too large or too small"


def test_the_docs_have_the_runtimes_of_dataproc() -> None:
    page = (PROJECT / "docs" / "gcp.md").read_text()
    shown = re.findall(r"^\| (\d\.\d) \| ([\d.]+) \| (\d+) \| ([\d.]+) \| ([\d-]+) \| (\w+)", page, re.MULTILINE)
    known = [
        (name, one.spark, one.java, one.python, one.until.isoformat(), "refuses" if unfit(name) else "takes")
        for name, one in RUNTIMES.items()
    ]
    assert shown == known


def test_the_price_tables_of_the_environments_price_their_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    for environment in ("prod", "stage"):
        dispatch = load(monkeypatch, environment).dispatch
        assert dispatch.prices is not None
        prices = load_prices(dispatch.prices)
        for stage in ("features", "train"):
            target = dispatch.target_of("flight_delay", stage)
            assert isinstance(target, DataprocTarget | VertexTarget)
            for attempt in (1, 3):  # on spot, and after it
                estimate = expected_cost([], 1, target, prices, attempt)
                assert estimate.amount is not None
                assert estimate.amount <= (dispatch.budget_of("flight_delay") or 0), "the first job is not refused"


def test_stage_is_prod_but_for_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, prod = load(monkeypatch, "stage"), load(monkeypatch, "prod")
    assert stage.dispatch.labels == {**prod.dispatch.labels, "environment": "stage"}
    same = {"name", "variables", "dispatch"}
    assert stage.model_dump(exclude=same) == prod.model_dump(exclude=same)


def test_dev_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, "dev").variables == {"CONTRAIL_ENV": "dev"}


def test_every_variable_that_is_missing_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GIVEN, "CONTRAIL_GCP_REGION", "x")
    for name in GIVEN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CONTRAIL_ENV", "prod")
    settings.cache_clear()
    with pytest.raises(
        UnsetError, match=r"prod.yaml says \{artifacts_bucket\}, .*: set the environment variables CONTRAIL"
    ) as told:
        settings()
    assert set(told.value.variables) == set(GIVEN)
    for name in told.value.variables[1:]:
        monkeypatch.setenv(name, "x")
    with pytest.raises(UnsetError, match=r"set the environment variable CONTRAIL_ARTIFACTS_BUCKET$"):
        settings()
    settings.cache_clear()


def test_an_unknown_environment_names_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError, match=r"Known environments: .*dev, prod, stage"):
        load(monkeypatch, "production")


@pytest.mark.parametrize(
    ("engine", "kind", "master"),
    [("sail", "sail", "local[2]"), ("spark", "spark", "local[2]"), ("spark://head:7077", "spark", "spark://head:7077")],
)
def test_the_engine_is_a_kind_or_a_master(monkeypatch: pytest.MonkeyPatch, engine: str, kind: str, master: str) -> None:
    found = load(monkeypatch, "dev", CONTRAIL_ENGINE=engine).engine
    assert (found.kind, found.master) == (kind, master)


def test_a_wrong_target_is_named_with_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "include" / "environments"
    folder.mkdir(parents=True)
    text = (PROJECT / "include" / "environments" / "prod.yaml").read_text()
    (folder / "prod.yaml").write_text(text.replace("accelerator_count: 1", "accelerator_count: 2"))
    with pytest.raises(SpecError, match=r"environments/prod.yaml is not valid:\n.*g2-standard-8 comes with"):
        load(monkeypatch, "prod", CONTRAIL_PROJECT=str(tmp_path))


@pytest.mark.parametrize(
    ("own", "where"),
    [
        ("stages: {features: spark, train: gpu, promote: gpu}", "stages"),
        (
            "stages: {features: spark, train: gpu}\n  pipelines: {flight_delay: {promote: spark}}",
            "pipelines.flight_delay",
        ),
    ],
)
def test_a_promotion_stays_where_mlflow_lets_an_alias_move(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own: str, where: str
) -> None:
    folder = tmp_path / "include" / "environments"
    folder.mkdir(parents=True)
    text = (PROJECT / "include" / "environments" / "prod.yaml").read_text()
    given = {"CONTRAIL_PROJECT": str(tmp_path), "CONTRAIL_PIPELINES": str(PROJECT / "include" / "pipelines")}
    (folder / "prod.yaml").write_text(changed := text.replace("stages: {features: spark, train: gpu}", own))
    assert changed != text
    with pytest.raises(SpecError, match=rf"dispatch.{where}.promote: it stays on the worker"):
        load(monkeypatch, "prod", **given)
    (folder / "prod.yaml").write_text(re.sub("  login: .*\n", "", changed))
    assert load(monkeypatch, "prod", **given).name == "prod"


@pytest.mark.parametrize("key", ["monthly_budgets: {PIPELINE: 5}", "pipelines: {PIPELINE: {train: local}}"])
def test_a_budget_or_a_target_of_no_pipeline_names_the_nearest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str
) -> None:
    folder = tmp_path / "include" / "environments"
    folder.mkdir(parents=True)
    text = (PROJECT / "include" / "environments" / "prod.yaml").read_text()

    def naming(pipeline: str) -> Settings:
        own = f"dispatch:\n  {key.replace('PIPELINE', pipeline)}\n"
        (folder / "prod.yaml").write_text(text.replace("dispatch:\n", own))
        given = {"CONTRAIL_PROJECT": str(tmp_path), "CONTRAIL_PIPELINES": str(PROJECT / "include" / "pipelines")}
        return load(monkeypatch, "prod", **given)

    assert naming("flight_delay").name == "prod"
    with pytest.raises(SpecError, match=rf"prod.yaml: dispatch.{key[:8]}.*flight_delays.*did you mean 'flight_delay'"):
        naming("flight_delays")


@pytest.mark.parametrize(
    "mark", ["#", "?", "%", "{", "}", '"', "'", "\n", "*", "[", "\\", "$", ":", ";", "&", "|", "<"]
)
def test_a_home_that_libraries_would_misread_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mark: str
) -> None:
    home = tmp_path / f"a{mark}b"
    told = "a line break" if mark == "\n" else re.escape(repr(mark))
    with pytest.raises(SpecError, match=f"^CONTRAIL_HOME=.* has {told}, which .* Nothing was written. Choose a folder"):
        load(monkeypatch, "dev", CONTRAIL_HOME=str(home))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["Zoë Łukasz", "日本", "a+b=c@d~e,f-g_h.i"])
def test_a_home_in_any_language_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    found = load(monkeypatch, "dev", CONTRAIL_HOME=str(tmp_path / name))
    assert found.landing_uri == f"{tmp_path / name}/landing"


def test_a_quote_in_a_variable_is_no_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(monkeypatch, "prod", CONTRAIL_CATALOG_URI='https://catalog/"a": b\\n')
    assert found.catalog.uri == 'https://catalog/"a": b\\n'


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_a_sandbox_shares_stores_and_landing_zone_and_writes_elsewhere(
    monkeypatch: pytest.MonkeyPatch, environment: str
) -> None:
    main = load(monkeypatch, environment)
    own = load(monkeypatch, environment, CONTRAIL_SANDBOX="deeper")
    assert (own.catalog, own.registry, own.landing_uri) == (main.catalog, main.registry, main.landing_uri)
    for place in ("home_path", "staging_uri", "reports_uri", "refused_uri", "data_versions_remote_uri"):
        assert str(getattr(own, place)) == f"{getattr(main, place)}/sandboxes/deeper"
    assert str(own.lineage) != str(main.lineage)
    assert (own.analysts, own.cloud_log) == (None, None)
    assert (main.stored("flight_delay"), own.stored("flight_delay")) == ("flight_delay", "sandbox_deeper__flight_delay")
    assert own.main == main.main == main


NO_SANDBOXES = [
    "..",
    ".",
    "a/b",
    "/",
    "/tmp",
    "lab/../..",
    "lab ",
    " lab",
    "lab\n",
    " ",
    "Deeper",
    "main",
    "lab__x",
    "ä",
]


@pytest.mark.parametrize("name", [*NO_SANDBOXES, "flight_delay"])
def test_a_wrong_name_of_a_sandbox_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with pytest.raises(SpecError, match=rf"'{re.escape(name)}' cannot be the name of a sandbox .* Nothing was written"):
        load(monkeypatch, "dev", CONTRAIL_SANDBOX=name)


@pytest.mark.parametrize("name", ["", *NO_SANDBOXES])
def test_no_folder_is_ever_named_by_what_is_no_sandbox(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    main = load(monkeypatch, "dev")
    with pytest.raises(SpecError, match="cannot be the name of a sandbox"):
        main.inside(name)
    with pytest.raises(SpecError, match="cannot be the name of a sandbox"):
        enter_sandbox(name)


def test_a_sandbox_older_than_a_pipeline_of_its_name_can_still_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, "dev").inside("flight_delay").sandbox == "flight_delay"


@pytest.fixture
def of_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A project whose environment ``dev`` is in a sandbox."""
    folder = tmp_path / "include" / "environments"
    folder.mkdir(parents=True)
    text = (PROJECT / "include" / "environments" / "dev.yaml").read_text()
    (folder / "dev.yaml").write_text(f"{text}\nsandbox: of_file\n")
    monkeypatch.setenv("CONTRAIL_PIPELINES", str(PROJECT / "include" / "pipelines"))
    monkeypatch.setenv("CONTRAIL_PROJECT", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("variable", "sandbox"), [(None, "of_file"), ("other", "other"), ("", None)])
def test_an_environments_sandbox_has_a_main_lake_too(
    monkeypatch: pytest.MonkeyPatch, of_file: Path, variable: str | None, sandbox: str | None
) -> None:
    own = load(monkeypatch, "dev", **({} if variable is None else {"CONTRAIL_SANDBOX": variable}))
    assert own.sandbox == sandbox
    assert (own.main.sandbox, own.main.stored("toy"), own.main.main) == (None, "toy", own.main)
    assert own.home_path == own.main.home_path / (f"sandboxes/{sandbox}" if sandbox else "")


def test_an_environments_own_settings_know_a_main_lake_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    named = load(monkeypatch, "dev").model_copy(update={"sandbox": "of_file"})
    assert named.inside("other").main.sandbox is None


@pytest.mark.parametrize("address", [
    "https://airflow:hush@mlflow.example", "postgresql://me:hu%40sh@db:5432/mlflow", "https://:hush@mlflow.example/x",
    "postgresql://db/mlflow?sslmode=require&password=hush", "https://mlflow.example?access_token=hush",
    "postgresql://me:hu/sh@db/mlflow", "postgresql+psycopg2://me:hu#sh@db/mlflow", "postgresql://db/mlflow?sslpassword=hush",
    "https://store.example/container?sv=1&sig=hush",
])  # fmt: skip
def test_an_address_with_a_password_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    with pytest.raises(
        SpecError, match=r"prod.yaml: registry.tracking_uri has a password.*PGPASSWORD.*MLFLOW_"
    ) as told:
        load(monkeypatch, "prod", CONTRAIL_MLFLOW_URI=address)
    assert "hu" not in str(told.value)


@pytest.mark.parametrize("address", ["postgresql://me@db:5432/mlflow", "https://mlflow.example:5000/a:b@c?x=password"])
def test_an_address_with_a_user_or_a_port_has_no_password(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    assert load(monkeypatch, "prod", CONTRAIL_MLFLOW_URI=address).registry.tracking_uri == address
