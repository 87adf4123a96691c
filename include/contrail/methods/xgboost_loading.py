"""Load XGBoost so that it shares a machine, and without what this project does not use of it.

A process calls ``load_xgboost`` before its first ``import xgboost``. A process that has XGBoost already keeps it as it is.
"""

import os
import sys

_SKLEARN = "sklearn"


def load_xgboost(*, whole: bool = False) -> None:
    """Import XGBoost, with threads that sleep while they wait, and without scikit-learn.

    By default its threads spin. Beside other work on the same processors, as beside other tasks of Airflow, two threads
    then took six times the processor time of one. ``OMP_WAIT_POLICY`` in the environment decides otherwise.

    Scikit-learn takes six of seven parts of the import. XGBoost's own ``XGBClassifier`` and its like need it, and so does
    ``xgboost.spark``.

    Args:
        whole: With scikit-learn.
    """
    if "xgboost" in sys.modules:
        return
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read once, when the library is loaded
    if whole or _SKLEARN in sys.modules:
        import xgboost

        return
    sys.modules[_SKLEARN] = None  # type: ignore[assignment]  # an import of it fails, which XGBoost allows for
    try:
        import xgboost  # noqa: F401
    finally:
        del sys.modules[_SKLEARN]
