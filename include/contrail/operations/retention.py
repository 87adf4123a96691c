"""What goes by its age: pages, logs, trials, training sets and data versions, as ``retention`` in the spec says.

What a registered version, a decision or a ``.dvc`` file names stays, whatever its age, and so does every record. What
pipelines share is kept as long as the most careful of them says. Files of the lake's tables are upkeep's own (``maintain``).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from fsspec.implementations.local import LocalFileSystem
from upath import UPath

from contrail import clock
from contrail.adapters import trials
from contrail.adapters.trials import Trial
from contrail.adapters.unnamed_versions import md5s_of, remove_unnamed
from contrail.config.model_spec import RetentionSpec
from contrail.config.pipeline import parse_pipeline, pipeline_names
from contrail.config.settings import Settings
from contrail.errors import SpecError
from contrail.lake.orphans import Orphan, files_under
from contrail.stages.results import Removed

_SITE = "/great_expectations/"  # the newest validation's own pages, which the next one replaces


def remove_old(
    settings: Settings, name: str, retention: RetentionSpec, grace: timedelta, *, dry_run: bool = False
) -> Iterator[Removed]:
    """Remove what is older than the pipeline keeps it, kind by kind.

    Args:
        settings: Say where everything is.
        name: The pipeline.
        retention: How long it keeps what.
        grace: Nothing younger goes, and a trial stays so long in MLflow's trash.
        dry_run: Remove nothing.

    Raises:
        DamagedError: when what is named cannot be read. Data versions stay then.
        EngineError: when MLflow, Git or the remote does not answer.
    """
    yield _pages(settings, name, _before(settings, retention.reports, grace), dry_run)
    yield _logs(settings, name, _before(settings, retention.logs, grace), dry_run)
    yield _lineage(settings, name, _before(settings, retention.logs, grace), dry_run)
    yield _errors(settings, _before(settings, _longest("logs"), grace), dry_run)
    records = cache(lambda: tuple(_records(settings)))
    if before := _before(settings, retention.trials, grace):
        yield _trials(settings, name, before, records, dry_run)
        yield _trash(settings, name, clock.ago(settings.home_path, grace), records, dry_run)
    if before := _before(settings, _longest("data_versions"), grace):
        named = cache(lambda: (*records(), *trials.names_in(settings)))
        yield _training_sets(settings, name, before, named, dry_run)
        gone = remove_unnamed(settings, before, named, dry_run=dry_run)
        yield _removed("data versions", gone)


def _before(settings: Settings, days: int | None, grace: timedelta) -> datetime | None:
    return None if days is None else clock.ago(settings.home_path, max(timedelta(days=days), grace))


def _longest(key: str) -> int | None:
    """How many days the most careful pipeline keeps what all of them share. None: for ever."""
    found = []
    for name in pipeline_names():
        try:
            found.append(getattr(parse_pipeline(name).spec.retention, key))
        except SpecError:  # nobody knows what a broken spec wants to say
            return None
    return None if None in found else max(found, default=None)


def _removed(of: str, gone: Sequence[Orphan]) -> Removed:
    return Removed(of=of, files=len(gone), size=sum(one.size for one in gone))


# ---- files for people ----


def _pages(settings: Settings, name: str, before: datetime | None, dry_run: bool) -> Removed:
    """HTML alone: the JSON beside a page is the record."""
    folder = settings.reports / name
    gone = _old_files(folder, before, lambda path: path.endswith(".html") and _SITE not in path, dry_run)
    return _removed("pages", gone)


def _logs(settings: Settings, name: str, before: datetime | None, dry_run: bool) -> Removed:
    logs = settings.home_path / "airflow" / "logs"
    gone = [
        one
        for folder in sorted(logs.glob(f"dag_id={name}__*"))
        for one in _old_files(UPath(folder), before, lambda _: True, dry_run)
    ]
    return _removed("logs", gone)


def _lineage(settings: Settings, name: str, before: datetime | None, dry_run: bool) -> Removed:
    """Events repeat the provenance that the tables have."""
    return _removed("lineage", _old_files(settings.lineage / name, before, lambda _: True, dry_run))


def _errors(settings: Settings, before: datetime | None, dry_run: bool) -> Removed:
    """Traces of errors, and the logs of the DAG processor, by day."""
    home = settings.home_path
    folders = (home / "errors", home / "airflow" / "logs" / "dag_processor")
    gone = [one for folder in folders for one in _old_files(UPath(folder), before, lambda _: True, dry_run)]
    return _removed("errors and shared logs", gone)


def _old_files(folder: UPath, before: datetime | None, wanted: Callable[[str], bool], dry_run: bool) -> list[Orphan]:
    """Remove the old files of a folder, and the folders in it that are empty then."""
    if before is None or not folder.exists():
        return []
    base = folder.fs._strip_protocol(str(folder))
    gone = [one for one in files_under(folder.fs, str(folder)) if one.modified < before and wanted(one.path)]
    for one in () if dry_run else gone:
        with suppress(FileNotFoundError):
            folder.fs.rm_file(one.path)
        if isinstance(folder.fs, LocalFileSystem):
            _remove_empty(Path(one.path).parent, Path(base))
    return gone


def _remove_empty(folder: Path, base: Path) -> None:
    """Remove an empty folder, and those around it. A run has folders of its own, so nobody is about to write there."""
    with suppress(OSError):
        while folder != base:
            folder.rmdir()
            folder = folder.parent


# ---- models that nobody wanted, and their rows ----


def _records(settings: Settings) -> Iterator[str]:
    """The decisions of all pipelines. Each names a run, and the hash of a training set."""
    for path in settings.reports.glob("*/decisions/*.json") if settings.reports.exists() else ():
        yield path.read_text(errors="replace")


def _trials(
    settings: Settings, name: str, before: datetime, records: Callable[[], tuple[str, ...]], dry_run: bool
) -> Removed:
    found = trials.old_trials(settings, name, before, md5s_of(records()))
    if not dry_run:
        trials.put_into_trash(settings, found)
    return _of_trials("trials, into MLflow's trash", found)


def _trash(
    settings: Settings, name: str, before: datetime, records: Callable[[], tuple[str, ...]], dry_run: bool
) -> Removed:
    found = trials.trash(settings, name, before, md5s_of(records()))
    if not dry_run:
        trials.empty_trash(settings, found)
    return _of_trials("MLflow's trash", found)


def _of_trials(of: str, found: Sequence[Trial]) -> Removed:
    return Removed(of=of, files=sum(one.files for one in found), size=sum(one.size for one in found))


def _training_sets(
    settings: Settings, name: str, before: datetime, named: Callable[[], tuple[str, ...]], dry_run: bool
) -> Removed:
    """This machine's copies of training sets. DVC has those that a run names, and its remote is asked for them."""
    folder, gone = settings.home_path / "training_sets" / name, list[Orphan]()
    for window in sorted(folder.iterdir()) if folder.exists() else ():
        inside = list(files_under(UPath(window).fs, str(window)))
        if inside and all(one.modified < before for one in inside) and not _is_named(window, named()):
            gone += inside
            # The folder stays: a training may be about to write there.
            for one in () if dry_run else inside:
                Path(one.path).unlink(missing_ok=True)
    return _removed("training sets", gone)


def _is_named(window: Path, named: Sequence[str]) -> bool:
    own = md5s_of(path.read_text() for path in window.glob("*.dvc"))
    return bool(own & md5s_of(named))
