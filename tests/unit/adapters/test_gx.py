"""Great Expectations loads without what judging frames does not need, and says the same."""

import json
import subprocess
import sys

_LOADED = """
import json, sys
from contrail.adapters import gx
gx.load()
heavy = ["pyspark", "google.cloud.secretmanager", "google.api_core", "altair.vegalite", "scipy.stats._stats_py"]
found = [name for name in heavy if name in sys.modules]
import google.cloud.storage, scipy.stats
import great_expectations.expectations as gxe
from great_expectations.render.renderer_configuration import RendererConfiguration
from contrail.adapters.checks import _words
rules = [
    gxe.ExpectColumnValuesToBeBetween(column="a", min_value=1, max_value=2.5, strict_max=True),
    gxe.ExpectColumnValuesToBeBetween(column="b", min_value=-3),
    gxe.ExpectColumnValuesToBeInSet(column="a", value_set=["x", 1, True]),
    gxe.ExpectColumnPairValuesToBeEqual(column_A="a", column_B="b"),
]
words = [_words(rule) for rule in rules]
own = RendererConfiguration._get_renderer_value_base_model_type.__wrapped__
RendererConfiguration._get_renderer_value_base_model_type = staticmethod(own)
import jinja2
from great_expectations.render.view import DefaultJinjaPageView
compiled, compile_one = [], jinja2.Environment.compile
jinja2.Environment.compile = lambda *args: compiled.append(args[2]) or compile_one(*args)
for _ in range(2):
    DefaultJinjaPageView().env.get_template("page.j2")
print(json.dumps([found, scipy.stats.norm.cdf(0), words, [_words(rule) for rule in rules], compiled]))
"""


def test_it_loads_neither_engines_nor_clouds_and_its_words_stay() -> None:
    done = subprocess.run([sys.executable, "-c", _LOADED], capture_output=True, text=True, check=True)
    found, half, words, own, compiled = json.loads(done.stdout.splitlines()[-1])
    assert found == []
    assert half == 0.5
    assert words == own
    assert words[1:3] == [
        "b values must be greater than or equal to -3.0.",
        "a values must belong to this set: x 1 True.",
    ]
    assert compiled == ["page.j2"], "the second page finds it compiled"
