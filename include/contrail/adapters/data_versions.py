"""DVC: landed files and training sets, content-addressed and pushed to a remote.

A separate DVC repository, without Git, lives in the home. The code's repository has another one for experiments. This
module does not decide what to version.
"""

import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential
from upath import UPath

from contrail.config.settings import Settings
from contrail.errors import DataError, EngineError, MissingInputError
from contrail.files import digest, is_local, local_path, on_disk, write_whole
from contrail.locks import locked

if TYPE_CHECKING:
    from dvc.repo import Repo

_REMOTE = "versions"
# DVC looks through every folder for files of its own. The lake has one for each day of each table.
_IGNORED = "# DVC versions nothing in the other folders of this home.\n/*/\n!/landing/\n!/training_sets/\n"
# A day's files are hashed in seconds; another training run may hold DVC's lock for that long.
_WAIT_SECONDS = 300


def add_and_push(settings: Settings, paths: Sequence[Path]) -> dict[Path, str]:
    """Version files or folders of the home, and push them together. Unchanged content is only looked up.

    Returns:
        The MD5 of each path in DVC. A folder's ends in ``.dir``.

    Raises:
        EngineError: when the remote cannot be reached or DVC's lock stays taken. A later retry may pass.
    """
    from dvc.exceptions import DvcException
    from dvc.lock import LockError

    attempts = Retrying(
        retry=retry_if_exception_type(LockError),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        stop=stop_after_delay(_WAIT_SECONDS),
        reraise=True,
    )
    try:
        return attempts(_add_and_push, settings, [path.absolute() for path in paths])
    except (DvcException, OSError) as error:
        raise EngineError(
            f"DVC could not version {', '.join(map(str, paths))} to {settings.data_versions_remote_uri}: {error}. "
            "The files are untouched. Run the stage again."
        ) from error


def _add_and_push(settings: Settings, paths: list[Path]) -> dict[Path, str]:
    with _repository(settings) as repo, _flushed(settings, paths):
        stages = repo.add([str(path) for path in paths], force=True)
        hashes = {Path(out.fs_path): str(out.hash_info.value) for stage in stages for out in stage.outs}
        # Upkeep on another machine sees before the push that somebody needs what may lie there already.
        for path in paths:
            write_whole(marks(settings) / hashes[path], b"")
        repo.push([str(path) + ".dvc" for path in paths])
    return {path: hashes[path] for path in paths}


@contextmanager
def _flushed(settings: Settings, paths: Sequence[Path]) -> Iterator[None]:
    """Wait until the disk has DVC's new copies, and the files that it has put in the place of ``paths``.

    A mark tells the next addition when this one never ended.
    """
    mark = _mark(settings)
    if not mark.exists():
        write_whole(UPath(mark), b"")
    yield
    # A folder's own files stay as they are. A feed may write there.
    on_disk(_changed_since(mark, [*_own_stores(settings), *(path for path in paths if path.is_file())]))
    mark.unlink()


def _drop_torn_copies(settings: Settings) -> None:
    """Remove the copies that a power cut tore: what changed after the mark, and has another MD5 than its name.

    DVC takes a copy that has its name for whole. It also takes the copy of a folder's list, and its index of what the remote
    has, for a proof that all files of the folder are there. So these go too.
    """
    mark = _mark(settings)
    if not mark.exists():
        return
    copies = _changed_since(mark, _own_stores(settings))
    torn = {copy for copy in copies if _md5(copy) != copy.parent.name + copy.stem}
    for copy in copies if torn else []:
        if copy in torn or copy.suffix == ".dir":
            copy.unlink(missing_ok=True)
    if torn:
        shutil.rmtree(settings.home_path / ".dvc" / "site", ignore_errors=True)


def _mark(settings: Settings) -> Path:
    return settings.home_path / ".dvc" / "tmp" / "adding"


def _own_stores(settings: Settings) -> list[Path]:
    """The cache, and the remote where it is a folder too."""
    return [local_path(folder) for folder in folders(settings) if is_local(folder)]


def _changed_since(mark: Path, places: Sequence[Path]) -> list[Path]:
    """The files in places that came since a mark, whatever time a copy took over."""
    since = mark.stat().st_ctime
    found = []
    for file in (file for place in places for file in (place.rglob("*") if place.is_dir() else [place])):
        with suppress(FileNotFoundError):  # forgetting or upkeep removed it meanwhile
            if file.is_file() and file.stat().st_ctime >= since:
                found.append(file)
    return found


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return digest(file, "md5")


def marks(settings: Settings) -> UPath:
    """The folder of a file for each hash that a training has asked for; its time says when it last did."""
    return UPath(settings.data_versions_remote_uri) / "asked-for"


@contextmanager
def _repository(settings: Settings) -> Iterator["Repo"]:
    # On a terminal DVC draws bars over ours, unless its logger's level is above ERROR.
    logging.getLogger("dvc").setLevel(logging.CRITICAL)
    from dvc.repo import Repo

    home = settings.home_path
    with alone(settings):
        _make(settings)
        _drop_torn_lock(home / ".dvc" / "tmp" / "rwlock")
        _drop_torn_copies(settings)
        repo = Repo(str(home), config={"core": {"site_cache_dir": str(home / ".dvc" / "site")}})
        try:
            yield repo
        finally:
            repo.close()


def alone(settings: Settings) -> AbstractContextManager[None]:
    """Keep other processes of the home from versioning data for the length of a block."""
    return locked(settings.home_path / "locks" / "data-versions", "is versioning data", _WAIT_SECONDS)


def _make(settings: Settings) -> None:
    """Make the repository in a place of its own and move it to the home whole. Mend one that a killed run left."""
    from dvc.repo import Repo

    ignore = settings.home_path / ".dvcignore"
    if not ignore.exists():
        ignore.write_text(_IGNORED)
    dvc = settings.home_path / ".dvc"
    if _is_configured(settings, dvc):
        return
    making = settings.home_path / ".dvc-unfinished"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    Repo.init(str(making), no_scm=True).close()
    _configure(settings, making / ".dvc")
    if dvc.exists():  # it keeps its cache
        (making / ".dvc" / "config").replace(dvc / "config")
    else:
        (making / ".dvc").rename(dvc)
    shutil.rmtree(making)


def _is_configured(settings: Settings, dvc: Path) -> bool:
    from dvc.config import Config, ConfigError

    if not (dvc / "config").exists():
        return False
    try:
        remotes = Config(str(dvc))["remote"]
    except ConfigError:
        return False
    return bool(remotes.get(_REMOTE, {}).get("url") == settings.data_versions_remote_uri)


def _configure(settings: Settings, dvc: Path) -> None:
    from dvc.config import Config
    from dvc.config_schema import RelPath

    with Config(str(dvc)).edit("repo") as written:
        written["core"] |= {"analytics": False, "check_update": False, "remote": _REMOTE}
        uri = settings.data_versions_remote_uri
        # DVC writes ASCII alone, which a home need not be. So a path is written as it is seen from the final folder.
        if "://" not in uri:
            uri = RelPath(os.path.normpath(dvc / os.path.relpath(uri, settings.home_path / ".dvc")))
        written["remote"][_REMOTE] = {"url": uri}


def _drop_torn_lock(path: Path) -> None:
    """Remove DVC's list of busy files when a killed run tore it. Under our own lock nobody else can be using it."""
    if not path.exists():
        return
    try:
        whole = isinstance(json.loads(path.read_bytes()), dict)
    except ValueError:
        whole = False
    if not whole:
        path.unlink()


def folders(settings: Settings) -> tuple[UPath, UPath]:
    """The folders of versioned files: the home's cache and the remote. A file ``ab/cd…`` has the MD5 ``abcd…``."""
    places = (UPath(settings.home_path / ".dvc" / "cache"), UPath(settings.data_versions_remote_uri))
    cache, remote = (place / "files" / "md5" for place in places)
    return cache, remote


def objects(settings: Settings) -> Iterator[UPath]:
    """Yield every versioned file in the home's cache and in the remote. A name is its content's MD5."""
    for folder in folders(settings):
        yield from sorted((path for path in folder.glob("*/*") if path.is_file()), key=str) if folder.exists() else ()


def kept(settings: Settings, md5: str) -> UPath | None:
    """Find one versioned file by its hash. In a sandbox, the main lake's are its own too, as models are."""
    return next((place for place in _places(settings, md5) if place.exists()), None)


def _places(settings: Settings, md5: str) -> list[UPath]:
    both = dict.fromkeys((*folders(settings), *folders(settings.main)))
    return [folder / md5[:2] / md5[2:] for folder in both]


def fetch(settings: Settings, md5: str, path: Path) -> Path:
    """Fetch one versioned file by its hash from the home's cache or the remote, and check it.

    Raises:
        MissingInputError: when none of the places in which ``kept`` looks has the file.
        DataError: when the kept file is damaged.
    """
    found = kept(settings, md5)
    if found is None:
        raise MissingInputError(f"no data with MD5 {md5} in {' or '.join(map(str, _places(settings, md5)))}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with found.open("rb") as source, path.open("wb") as target:
        shutil.copyfileobj(source, target)
    if (actual := _md5(path)) != md5:
        raise DataError(f"{found} is damaged: its MD5 is {actual}")
    return path
