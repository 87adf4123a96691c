"""The entry for a file of Airflow's DAG folder. It names the DAGs that it makes, and no other file may make them."""

import ast
from functools import cached_property
from pathlib import Path

from airflow.sdk import DAG
from airflow.utils.file import list_py_file_paths

from contrail.config.settings import settings
from contrail.errors import SpecError
from contrail_airflow.dags.backfill import backfill
from contrail_airflow.dags.daily import daily
from contrail_airflow.dags.maintain import maintain
from contrail_airflow.dags.monitor import monitor
from contrail_airflow.dags.replay import replay
from contrail_airflow.dags.rollback import rollback
from contrail_airflow.dags.score import score
from contrail_airflow.dags.train import train
from contrail_airflow.dags.tune import tune

NAMES = ("daily", "score", "monitor", "train", "tune", "backfill", "replay", "rollback", "maintain")


class DagFile:
    """The DAGs that a file makes.

    A DAG has one file. If two files made it, Airflow would show the one that it read last. So one file keeps the DAG:
    the file named after the pipeline, else the file nearest to the top of the folder, else the first by name. The
    other file is refused.

    Args:
        path: ``__file__`` of the calling file.

    Every DAG that it makes may raise:
        SpecError: when another file keeps the DAG, or this one hides the pipeline's name in an expression.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path).absolute()

    def daily(self, pipeline: str, /) -> DAG:
        """A day's chain up to its features."""
        self._claim("daily", pipeline)
        return daily(pipeline)

    def score(self, pipeline: str, /) -> DAG:
        """The predictions of a day, after ``daily``."""
        self._claim("score", pipeline)
        return score(pipeline)

    def monitor(self, pipeline: str, /) -> DAG:
        """Drift, performance, and whether to train again, after ``score``."""
        self._claim("monitor", pipeline)
        return monitor(pipeline)

    def train(self, pipeline: str, /) -> DAG:
        """A new candidate and its gate."""
        self._claim("train", pipeline)
        return train(pipeline)

    def tune(self, pipeline: str, /) -> DAG:
        """A search for better parameters."""
        self._claim("tune", pipeline)
        return tune(pipeline)

    def backfill(self, pipeline: str, /) -> DAG:
        """A range of days as a few large jobs."""
        self._claim("backfill", pipeline)
        return backfill(pipeline)

    def rollback(self, pipeline: str, /) -> DAG:
        """The champion is taken back, with a plan first and an approver's answer."""
        self._claim("rollback", pipeline)
        return rollback(pipeline)

    def maintain(self, pipeline: str, /) -> DAG:
        """What nothing needs any more goes, once a week."""
        self._claim("maintain", pipeline)
        return maintain(pipeline)

    def replay(self, pipeline: str, /) -> DAG:
        """Mended rows of the quarantine end where they would have been."""
        self._claim("replay", pipeline)
        return replay(pipeline)

    def _claim(self, name: str, pipeline: str) -> None:
        mine = self._short(self.path)
        if (name, pipeline) not in _named_in(self.path):
            raise SpecError(
                f'{mine} must say dags.{name}("{pipeline}") in these very words, so that people who look '
                f"for {pipeline}__{name} find its file"
            )
        makers = [file for file, named in self._named.items() if (name, pipeline) in named]
        keeper = min([self.path, *makers], key=lambda file: (file.stem != pipeline, len(file.parts), file))
        if keeper != self.path:
            raise SpecError(
                f"{mine} makes the DAG {pipeline}__{name}, which {self._short(keeper)} makes already. Delete {mine}, or "
                "give it another pipeline."
            )

    @cached_property
    def _named(self) -> dict[Path, set[tuple[str, str]]]:
        """The DAGs that each file of the folder names. Airflow lists the files, so .airflowignore counts."""
        found = map(Path, list_py_file_paths(self._folder))
        return {file: _named_in(file) for file in found if file.suffix == ".py"}

    @property
    def _folder(self) -> Path:
        folder = settings().dags_path
        return folder if self.path.is_relative_to(folder) else self.path.parent

    def _short(self, file: Path) -> str:
        return str(file.relative_to(self._folder.parent))


def _named_in(file: Path) -> set[tuple[str, str]]:
    """The DAGs, each with its pipeline, that a file names as in ``dags.daily("flight_delay")``."""
    try:
        text = file.read_text()
        tree = ast.parse(text if __package__ in text else "")
    except (OSError, SyntaxError, ValueError):
        return set()  # Airflow cannot read it either
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr=name), args=[ast.Constant(value=str(pipeline))]) if name in NAMES:
                found.add((name, pipeline))
    return found
