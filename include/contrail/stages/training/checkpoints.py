"""The checkpoints of a training, from which the attempt after a killed one continues."""

import base64
import hashlib
import json

from contrail.files import remove_folder, write_whole
from contrail.methods.boosting import Checkpoint
from contrail.methods.fit import Method
from contrail.revision import code_hash, lock_hash
from contrail.stages.base import StageRun
from contrail.stages.options import TrainOptions


class CheckpointFolder:
    """Checkpoints of the trainings of exactly these rows by exactly these settings, code and libraries.

    They outlive the run that made them. The next attempt finds them, on another machine too.
    """

    def __init__(self, run: StageRun[TrainOptions], method: Method, rows_md5: str) -> None:
        made_of = [
            method.params,
            method.settings.model_dump(),
            method.trainer.workers,
            rows_md5,
            code_hash(),
            lock_hash(run.settings.project_path),
        ]
        digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:32]
        self.folder = run.settings.staging / run.pipeline.name / "checkpoints" / digest
        self.run = run

    def load(self, name: str) -> Checkpoint | None:
        """The newest checkpoint of the training ``name``; None without one."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            return None
        kept = json.loads(path.read_text())
        found = Checkpoint(base64.b64decode(kept["model"]), kept["history"])
        self.run.progress(f"continuing {name} after the checkpoint of run {kept['run']}")
        return found

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in place of the one before."""
        # One file, so that the trees and their history are of the same round whenever the run is killed.
        model = base64.b64encode(checkpoint.model).decode()
        kept = {"run": self.run.run_id, "model": model, "history": checkpoint.history}
        write_whole(self.folder / f"{name}.json", json.dumps(kept).encode())

    def remove(self) -> None:
        """Remove all checkpoints, because the training has ended."""
        remove_folder(self.folder)
