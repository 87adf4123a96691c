"""Objects of DVC that nothing names any more: find them in the home's cache and in the remote, and remove them.

``dvc gc`` cannot be told what to keep: it knows neither MLflow nor the other pipelines of a home, and has no grace period.
So what is named is collected here. A name is an MD5, and every text that has one keeps it. ``data_versions`` makes versions.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from fsspec import AbstractFileSystem

from contrail.adapters.data_versions import alone, folders, marks
from contrail.config.settings import Settings
from contrail.errors import DamagedError, EngineError
from contrail.git import git
from contrail.lake.orphans import Orphan, files_under

_MD5 = re.compile(r"\b[0-9a-f]{32}(?:\.dir)?\b")
_FOLDER = ".dir"
_PATTERNS = ("*.dvc", "*dvc.lock")


def remove_unnamed(
    settings: Settings, before: datetime, others: Callable[[], Iterable[str]], *, dry_run: bool = False
) -> list[Orphan]:
    """Remove the objects that nothing names and that nobody has asked for since ``before``. Return them.

    Named is what a ``.dvc`` file or a ``dvc.lock`` of the home, of the project or of its Git history has, what is in a
    folder that is named, and what ``others`` have.

    Args:
        settings: Say where everything is.
        before: Younger objects stay.
        others: Returns more texts that name objects. It is called after the objects were listed.
        dry_run: Remove nothing.

    Raises:
        DamagedError: when the list of a named folder cannot be read. Nothing was removed then.
        EngineError: when Git does not answer. Nothing was removed then.
    """
    with alone(settings):
        old = list(_old(settings, before))
        if not old:
            return []
        named = md5s_of([*_of_dvc(settings), *others()])
        # Last, because a training on another machine may ask for one at any time.
        named |= _asked_for(settings, before, dry_run)
        named |= {md5 for name in named if name.endswith(_FOLDER) for md5 in _inside(settings, name)}
        gone = [(store, one) for store, one in old if "".join(one.path.split("/")[-2:]) not in named]
        # The list of a folder goes before the files in it: DVC takes it for a proof that they are there.
        for store, one in () if dry_run else sorted(gone, key=lambda each: not each[1].path.endswith(_FOLDER)):
            with suppress(FileNotFoundError):
                store.rm_file(one.path)
        return [one for _, one in gone]


def md5s_of(texts: Iterable[str]) -> set[str]:
    """The MD5s in texts, as DVC writes them. An id of a run in MLflow has the same form."""
    return {md5 for text in texts for md5 in _MD5.findall(text)}


def _old(settings: Settings, before: datetime) -> Iterator[tuple[AbstractFileSystem, Orphan]]:
    for folder in folders(settings):
        for one in files_under(folder.fs, str(folder)) if folder.exists() else ():
            if one.modified < before:
                yield folder.fs, one


def _asked_for(settings: Settings, before: datetime, dry_run: bool) -> set[str]:
    """The MD5s that trainings have asked for since ``before``. Older marks go."""
    folder, found = marks(settings), set()
    for one in files_under(folder.fs, str(folder)) if folder.exists() else ():
        if one.modified >= before:
            found.add(one.path.rsplit("/", 1)[-1])
        elif not dry_run:
            with suppress(FileNotFoundError):
                folder.fs.rm_file(one.path)
    return found


def _inside(settings: Settings, name: str) -> list[str]:
    """The MD5s of the files in a versioned folder. A folder that was lost names nothing."""
    copies = [path for folder in folders(settings) if (path := folder / name[:2] / name[2:]).exists()]
    for path in copies:
        with suppress(ValueError, FileNotFoundError):
            return [str(file["md5"]) for file in json.loads(path.read_bytes())]
    if copies:
        raise DamagedError(
            f"{copies[0]} is damaged, so nobody knows which files belong to that version. No version was removed. Put a copy "
            "from your backups in its place, or remove the file to give the version up."
        )
    return []


# ---- what DVC's own files name ----


def _of_dvc(settings: Settings) -> Iterator[str]:
    """The texts of all files in which DVC names objects."""
    home, project = settings.home_path, settings.project_path
    found = [*home.glob("*.dvc"), *(home / "landing").glob("*.dvc"), *(home / "training_sets").rglob("*.dvc")]
    for path in (*found, *_in_tree(project)):
        if path.is_file():  # DVC's own folder is called .dvc
            yield path.read_text(errors="replace")
    if (project / ".git").exists():
        yield from _in_history(project)


def _in_tree(project: Path) -> Iterator[Path]:
    for place, folders_in, names in os.walk(project):
        folders_in[:] = [name for name in folders_in if not name.startswith(".")]
        yield from (Path(place, name) for name in names if name.endswith((".dvc", "dvc.lock")))


def _in_history(project: Path) -> Iterator[str]:
    """Every version of these files that a branch, a tag, a stash or an experiment has."""
    how = ("--all", "--full-history", "-m", "--format=", "--raw", "--no-abbrev", "--no-renames")
    changes = _git(project, "log", *how, "--", *_PATTERNS).splitlines()
    # :modes, the blob before, the blob after, what happened and where
    blobs = {blob for line in changes for blob in line.split()[2:4] if set(blob) != {"0"}}
    if blobs:
        yield _git(project, "cat-file", "--batch", given="\n".join(sorted(blobs)))


def _git(project: Path, *arguments: str, given: str = "") -> str:
    done = git(project, *arguments, given=given)
    if done.returncode:
        raise EngineError(
            f"Git does not say which data versions the history of {project} names: {done.stderr.strip()}. No version was "
            "removed. Mend it, or leave retention.data_versions of every pipeline empty."
        )
    return done.stdout
