"""Load XGBoost so that it shares a machine, and without what this project does not use of it.

A process calls ``load_xgboost`` before its first ``import xgboost``. A process that has XGBoost already keeps it as it is.
"""

import os
import sys

_SKLEARN = "sklearn"
_WAITING, _SPINS = "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"
# About 50 microseconds, the time between two parts of a tree. By default it is 300,000.
_SPINS_BEFORE_SLEEP = "1000"


def load_xgboost(*, whole: bool = False) -> None:
    """Import XGBoost, with threads that soon sleep when they wait, and without scikit-learn.

    By default its threads spin for milliseconds. Beside other work on the same processors, as beside other tasks of
    Airflow, two threads then took six times the processor time of one. ``OMP_WAIT_POLICY`` and ``GOMP_SPINCOUNT`` in the
    environment decide otherwise.

    Scikit-learn takes six of seven parts of the import. XGBoost's own ``XGBClassifier`` and its like need it, and so does
    ``xgboost.spark``.

    Args:
        whole: With scikit-learn.
    """
    if "xgboost" in sys.modules:
        return
    if _WAITING not in os.environ:
        os.environ.setdefault(_SPINS, _SPINS_BEFORE_SLEEP)  # read once, when the library is loaded
    if whole or _SKLEARN in sys.modules:
        import xgboost

        return
    sys.modules[_SKLEARN] = None  # type: ignore[assignment]  # an import of it fails, which XGBoost allows for
    try:
        import xgboost  # noqa: F401
    finally:
        del sys.modules[_SKLEARN]
