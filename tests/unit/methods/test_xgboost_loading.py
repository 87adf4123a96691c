"""Each case in a process of its own, because a process loads XGBoost once."""

import subprocess
import sys

import pytest

_HOW = "from contrail.methods.xgboost_loading import load_xgboost; load_xgboost({})"
_SAYS = "; import os, sys, xgboost; print(xgboost.compat.SKLEARN_INSTALLED, os.environ.get('GOMP_SPINCOUNT'))"
_ALSO = "; import sklearn.base"


@pytest.mark.parametrize(
    ("how", "given", "says"),
    [
        ("", {}, "False 1000"),
        ("whole=True", {}, "True 1000"),
        ("", {"GOMP_SPINCOUNT": "7"}, "False 7"),
        ("", {"OMP_WAIT_POLICY": "ACTIVE"}, "False None"),
    ],
)
def test_xgboost_has_scikit_learn_only_where_it_is_needed_and_its_threads_soon_sleep(how, given, says):
    command = [sys.executable, "-c", _HOW.format(how) + _SAYS + _ALSO]
    environment = {"PYTHONPATH": "include", "PATH": "", **given}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == says.split()
