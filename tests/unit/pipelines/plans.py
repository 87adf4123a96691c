"""Spark's physical plan of a pipeline's features: what is shuffled, what is read."""

from collections import Counter
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from contrail.api import FeatureWindow
from contrail.config.pipeline import load_pipeline
from contrail.lake import datasets
from contrail.partitions import Partitions


def plan_of(session: SparkSession, name: str, folder: Path) -> Counter[str]:
    """Count the shuffles and scans of a year's features, over empty files; what is kept counts once.

    No table is broadcast: so each join counts as where no side is small.
    """
    session.conf.set("spark.sql.adaptive.enabled", "false")
    session.conf.set("spark.sql.autoBroadcastJoinThreshold", "-1")
    spec = (pipeline := load_pipeline(name)).spec
    tables = {}
    for table in spec.tables:
        schema = from_arrow_schema(datasets.validated(spec, table).staged_schema())
        session.createDataFrame([], schema).write.parquet(f"{folder}/{table}")
        tables[table] = session.read.schema(schema).parquet(f"{folder}/{table}")
    days = Partitions(spec.first_partition, spec.last_partition or spec.first_partition)
    window = FeatureWindow(days, spec.features.lookback_days, spec.timezone, spec.cutoff)
    built = pipeline.function("features", "build")(tables, window)
    built = built.select(*dict.fromkeys(["partition_date", *spec.key, *spec.features.columns]))
    plan = built._jdf.queryExecution().executedPlan()
    found: Counter[str] = Counter()
    _count(plan, found, set(), session._jvm)
    session.catalog.clearCache()
    return found


def _count(node: Any, found: Counter[str], seen: set[int], jvm: Any) -> None:
    name = node.nodeName()
    if name == "InMemoryTableScan":
        builder = node.relation().cacheBuilder()
        if (identity := int(jvm.System.identityHashCode(builder))) not in seen:
            seen.add(identity)
            _count(builder.cachedPlan(), found, seen, jvm)
    elif name == "ReusedExchange":
        return
    elif name == "Exchange":
        found["shuffles"] += 1
    elif name.startswith("Scan parquet"):
        found[node.relation().location().rootPaths().head().getName()] += 1
    children = node.children()
    for place in range(children.size()):
        _count(children.apply(place), found, seen, jvm)
