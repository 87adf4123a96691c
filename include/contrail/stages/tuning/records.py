"""Where a study is kept: a file for each finished trial, and one for the study. A killed command leaves them whole."""

from contextlib import AbstractContextManager

from upath import UPath

from contrail.config.settings import Settings
from contrail.config.validation_errors import parse_json
from contrail.files import write_whole
from contrail.locks import locked
from contrail.methods.study import StudyRecord, TrialRecord

KIND = "tuning"  # of a pipeline's reports


def study_lock(settings: Settings, pipeline: str, study: str) -> AbstractContextManager[None]:
    """Keep other commands of this machine from a study for the length of a block.

    Raises:
        EngineError: when another one works on it.
    """
    place = settings.home_path / "locks" / f"tune-{pipeline}-{study}"
    return locked(place, f"works on the study {study}", wait_seconds=1)


class StudyFolder:
    """The files of a study, below the pipeline's reports. They are on this machine or in an object store."""

    def __init__(self, settings: Settings, pipeline: str, name: str) -> None:
        self.folder: UPath = settings.reports / pipeline / KIND / name

    @property
    def page(self) -> UPath:
        """The report."""
        return self.folder.with_name(f"{self.folder.name}.html")

    def study(self) -> StudyRecord | None:
        """The record of the study; None before its first command."""
        path = self.folder / "study.json"
        return parse_json(StudyRecord, path.read_bytes(), str(path)) if path.exists() else None

    def keep_study(self, record: StudyRecord) -> None:
        """Write the record of the study."""
        write_whole(self.folder / "study.json", record.model_dump_json(indent=1).encode())

    def trials(self) -> list[TrialRecord]:
        """The finished trials, by number.

        Raises:
            DataError: for a damaged file, with its name.
        """
        found = sorted(self.folder.glob("trial-*.json"), key=lambda path: path.name) if self.folder.exists() else ()
        return [parse_json(TrialRecord, path.read_bytes(), str(path)) for path in found]

    def keep(self, trial: TrialRecord) -> None:
        """Write a finished trial."""
        write_whole(self.folder / f"trial-{trial.number:05d}.json", trial.model_dump_json().encode())
