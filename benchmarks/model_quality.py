"""How good the model is out of time, against the baselines and the honest best known for this data."""

from benchmarks.harness import HOME, PIPELINE

# Cut-off 00:00 New York, trained January to August, tested October to December, XGBoost with every legal feature
# known to the team; weather at the hour of departure, a leak, gives .714.
HONEST_BEST = {"auc": 0.672}


def measure() -> str:
    """Metrics pooled over October to December. There is no timing, so there is no ratio."""
    import os

    os.environ["CONTRAIL_HOME"] = str(HOME)
    from contrail.config.pipeline import load_pipeline
    from contrail.config.settings import settings
    from contrail.lake.lake import Lake
    from contrail.operations.summary import realised
    from contrail.partitions import Partitions

    settings.cache_clear()
    pipeline = load_pipeline(PIPELINE)
    test = Partitions.parse("2013-10-01", "2013-12-31")
    found = realised(pipeline, Lake(settings(), pipeline.name), test)
    lines = [
        "## Quality out of time",
        "",
        f"Trained on January to August 2013; {found.window}, {found.rows:,} flights whose outcome is known.",
        "",
        "| | AUC | log loss | calibration error |",
        "|---|---|---|---|",
    ]
    for name, values in found.metrics.items():
        lines.append(f"| {name} | {values['auc']:.4f} | {values['log_loss']:.4f} | {values['calibration_error']:.4f} |")
    lines.append(f"| honest best known, one model | {HONEST_BEST['auc']:.3f} | – | – |")
    return "\n".join([*lines, ""])
