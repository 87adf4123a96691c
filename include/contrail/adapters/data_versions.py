"""DVC: landed files and training sets, content-addressed and pushed to a remote.

A separate DVC repository, without Git, lives in the home. The code's repository has another one for experiments. This
module does not decide what to version.
"""

import hashlib
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential
from upath import UPath

from contrail.config.settings import Settings
from contrail.errors import DataError, EngineError, MissingInputError

if TYPE_CHECKING:
    from dvc.repo import Repo

_REMOTE = "versions"
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
    with _repository(settings) as repo:
        stages = repo.add([str(path) for path in paths], force=True)
        hashes = {Path(out.fs_path): str(out.hash_info.value) for stage in stages for out in stage.outs}
        repo.push([str(path) + ".dvc" for path in paths])
    return {path: hashes[path] for path in paths}


@contextmanager
def _repository(settings: Settings) -> Iterator["Repo"]:
    # On a terminal DVC draws bars over ours, unless its logger's level is above ERROR.
    logging.getLogger("dvc").setLevel(logging.CRITICAL)
    from dvc.exceptions import InitError
    from dvc.repo import Repo

    home = settings.home_path
    if not (home / ".dvc" / "config").exists():
        home.mkdir(parents=True, exist_ok=True)
        with suppress(InitError):  # another run has just made it
            Repo.init(str(home), no_scm=True).close()
    _configure(settings)
    repo = Repo(str(home), config={"core": {"site_cache_dir": str(home / ".dvc" / "site")}})
    try:
        yield repo
    finally:
        repo.close()


def _configure(settings: Settings) -> None:
    from dvc.config import Config
    from dvc.config_schema import RelPath

    config = Config(str(settings.home_path / ".dvc"))
    if config["remote"].get(_REMOTE, {}).get("url") == settings.data_versions_remote_uri:
        return
    with config.edit("repo") as written:
        written["core"] |= {"analytics": False, "check_update": False, "remote": _REMOTE}
        uri = settings.data_versions_remote_uri
        # DVC writes ASCII alone, which a home need not be. So a path is written from the file's own folder on.
        written["remote"][_REMOTE] = {"url": uri if "://" in uri else RelPath(uri)}


def fetch(settings: Settings, md5: str, path: Path) -> Path:
    """Fetch one versioned file by its hash from the home's cache or the remote, and check it.

    Raises:
        MissingInputError: when neither has the file.
        DataError: when the kept file is damaged.
    """
    part = f"files/md5/{md5[:2]}/{md5[2:]}"
    places = [UPath(settings.home_path / ".dvc" / "cache" / part), UPath(settings.data_versions_remote_uri) / part]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise MissingInputError(f"no data with MD5 {md5} in {' or '.join(str(place) for place in places)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with found.open("rb") as source, path.open("wb") as target:
        shutil.copyfileobj(source, target)
    with path.open("rb") as written:
        actual = hashlib.file_digest(written, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if actual != md5:
        raise DataError(f"{found} is damaged: its MD5 is {actual}")
    return path
