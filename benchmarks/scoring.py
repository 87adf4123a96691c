"""What the score stage costs over the bare model on the same matrix."""

import time

from benchmarks.harness import HOME, PIPELINE, YEAR, Row, alternate, stage, table


def _bare() -> float:
    """Rows a second of ``inplace_predict`` on the year's matrix, already encoded and in memory."""
    import os

    os.environ["CONTRAIL_HOME"] = str(HOME)
    from contrail.adapters.registry import resolve
    from contrail.config.settings import settings
    from contrail.lake.lake import Lake

    settings.cache_clear()
    package = resolve(settings(), PIPELINE, "champion").package
    matrix = package.matrix(Lake(settings(), PIPELINE).scan("features"))
    package.booster.inplace_predict(matrix[:1000])
    started = time.perf_counter()
    package.booster.inplace_predict(matrix)
    return float(matrix.shape[0] / (time.perf_counter() - started))


def _stage(**variables: str) -> float:
    result = stage("score", *YEAR, **variables)
    return float(result["rows"] / result["seconds"])


def measure() -> str:
    """Rows a second: higher is better."""
    on_spark = {"score stage, Spark local[2]": lambda: _stage(CONTRAIL_ENGINE="local[2]")}
    rows: list[Row] = alternate({"inplace_predict": _bare, "score stage": _stage, **on_spark}, unit="rows/s")
    return table(
        "Scoring the year",
        rows,
        "The stage reads the features, encodes them, predicts, explains every row, audits and commits. The bare call "
        "only predicts a matrix that is in memory. The time leaves out process start and imports, but not the start of "
        "Spark. Its executors are here the same two cores.",
    )
