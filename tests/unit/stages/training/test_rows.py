from tests.toy_tables import publish_toy

from contrail.stages.training import rows


def test_rows_are_read_again_when_a_table_was_published_meanwhile(toy, monkeypatch):
    publish_toy(toy, "2024-01-01", "2024-02-15")
    calls = []
    real = rows.read_training_rows

    def read(*arguments, **options):
        calls.append(1)
        found = real(*arguments, **options)
        if len(calls) == 1:
            publish_toy(toy, "2024-02-15", "2024-02-15")
        return found

    monkeypatch.setattr(rows, "read_training_rows", read)
    window = rows.read_window(toy.stage_run("train", "2024-01-01", "2024-02-09"))
    assert len(calls) == 2
    assert window.snapshots["features"] == toy.lake.snapshot_id("features")
