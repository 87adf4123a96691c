import dataclasses
import os
from pathlib import Path

import pytest
from tests.toy_tables import publish_toy

from contrail.adapters import data_versions
from contrail.stages.training import rows


def test_rows_are_read_again_when_a_table_was_published_meanwhile(toy, monkeypatch):
    publish_toy(toy, "2024-01-01", "2024-02-15")
    calls = []
    real = rows.read_training_rows

    def read(*arguments, **options):
        calls.append(1)
        found = real(*arguments, **options)
        if len(calls) == 1:
            publish_toy(toy, "2024-02-16", "2024-02-16")
        return found

    monkeypatch.setattr(rows, "read_training_rows", read)
    window = rows.read_window(toy.stage_run("train", "2024-01-01", "2024-02-09"))
    assert len(calls) == 2
    assert window.snapshots["features"] == toy.lake.snapshot_id("features")


@pytest.mark.parametrize("odd", ["pipe", "link"])
def test_landed_files_that_could_block_or_lead_out_are_not_versioned(toy, monkeypatch, collect, odd):
    publish_toy(toy, "2024-01-01", "2024-02-15")
    toy.land("2024-01-01", "2024-01-02")
    versioned = []
    monkeypatch.setattr(
        data_versions, "add_and_push", lambda _, paths: versioned.append(paths) or dict.fromkeys(paths, "0" * 32)
    )
    run = dataclasses.replace(toy.stage_run("train", "2024-01-01", "2024-02-09"), progress=collect)
    window = rows.read_window(run)
    assert set(rows.version_window(run, window)) == {"training_set", "landed_files"}
    path = Path(str(toy.landing), "parcels", "odd")
    os.mkfifo(path) if odd == "pipe" else path.symlink_to("/dev/zero")
    assert set(rows.version_window(run, window)) == {"training_set"} and len(versioned[-1]) == 1
    assert any(f"{path} is no regular file" in line for line in collect.lines)
