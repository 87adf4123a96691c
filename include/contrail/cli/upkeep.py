"""The desk of the lake's storage: whether its files are whole, a catalog that was lost, and what nobody needs any more."""

from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from contrail.cli.help import TABLES, command
from contrail.cli.options import SWITCH, JsonOption, PipelineOption, lake_of, not_with
from contrail.cli.printing import done, print_json, progress, say
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.errors import DamagedError, SpecError

if TYPE_CHECKING:
    from contrail.lake.integrity import Verified
    from contrail.lake.lake import Lake

app = typer.Typer()


@command(app, "verify", TABLES)
def verify(
    pipeline: PipelineOption,
    give_up: Annotated[
        str | None, typer.Option(metavar="<table>", help="Take the damaged files of this table out of it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare every data file of a pipeline's tables with its size and its SHA-256, and read each file of earlier snapshots.

    Stages and queries compare the files that they read. This command reads all, and names what makes damaged ones again.
    With `--give-up` the rows of damaged files are lost for good: use it for rows that no command makes again.
    """
    if give_up is not None:
        not_with("--give-up", {"--json": as_json}, "it says in words which days it gave up")
    lake = lake_of(load_pipeline(pipeline))
    names = lake.table_names()
    if give_up is not None and give_up not in names:
        raise SpecError(f"--give-up {give_up}: no such table. Tables: {', '.join(names)}")
    with progress(f"verify {pipeline}") as show:
        found = []
        for name in names if give_up is None else [give_up]:
            found.append(lake.verify(name))
            show(f"{name}: {found[-1].files:,} files, {found[-1].bytes / 1e6:,.1f} MB")
    damaged = [one for one in found if one.damages]
    if give_up is not None:
        _give_up(lake, damaged)
        return
    if as_json:
        print_json(
            [
                {"table": one.table, "files": one.files, "damaged": [*(d.file for d in one.damages), *one.archives]}
                for one in found
            ]
        )
    if damaged or any(one.archives for one in found):
        raise DamagedError("\n".join(one.remedy for one in found if one.remedy))
    if not as_json:
        done(f"{pipeline}: all {sum(one.files for one in found):,} data files are as they were written")


def _give_up(lake: "Lake", damaged: list["Verified"]) -> None:
    from contrail.lake.provenance import Provenance
    from contrail.revision import code_revision, lock_hash
    from contrail.stages.runner import new_run_id

    if not damaged:
        done("nothing is damaged; nothing was given up")
        return
    project = settings().project_path
    made_by = Provenance(
        run_id=new_run_id(),
        stage="verify",
        pipeline_hash=load_pipeline(lake.namespace).hash,
        code_revision=code_revision(project),
        lock_hash=lock_hash(project),
    )
    (found,) = damaged
    snapshot = lake.give_up(found, made_by)
    done(f"{found.table}: {len(found.damages)} files are given up, in snapshot {snapshot}. Their rows were of:")
    for day in sorted({str(damage.day or "all days") for damage in found.damages}):
        say(f"  {day}")


@command(app, "recover", TABLES)
def recover(pipeline: PipelineOption) -> None:
    """Put tables back that the catalog lost, or whose metadata is damaged, from what lies in the warehouse.

    Each table goes back to its newest metadata that can be read. Tables that the catalog has are left alone.
    """
    from contrail.lake import recovery
    from contrail.lake.catalog import open_catalog
    from contrail.lake.lease import NAMESPACE

    name = load_pipeline(pipeline).name
    catalog, of = open_catalog(settings()), settings().catalog
    own, leases = (settings().stored(one) for one in (name, NAMESPACE))
    count = 0
    # What a killed change of models has left to do is in the lease.
    for found in chain(recovery.recover(catalog, of, own), recovery.recover(catalog, of, leases)):
        count += 1
        older = f"; newer metadata cannot be read: {', '.join(found.unreadable)}" if found.unreadable else ""
        older = f"; without its earlier snapshots, for {found.archive} cannot be read" if found.archive else older
        older = f"; without {found.lost} earlier snapshots, whose files are missing" if found.lost else older
        done(f"{found.name}: snapshot {found.snapshot}, {found.rows:,} rows{escape(older)}")
    tables = "1 table was" if count == 1 else f"{count} tables were"
    done(f"{tables} put back. To see which days want another run: contrail status -p {name}")


@command(app, "maintain", TABLES)
def maintain(
    pipeline: PipelineOption,
    grace_days: Annotated[
        float, typer.Option(metavar="<days>", min=0, max=36_500, help="What is younger than this many days stays.")
    ] = 3,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar=SWITCH, help="Say what would go, and remove nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove what nothing needs any more: files that no snapshot refers to, what killed runs left, and what is too old.

    `retention` in `pipeline.yaml` says how long pages, logs, trials in MLflow and data versions are kept. What a model, a
    decision, a backfill or a receipt refers to stays. Stages may run meanwhile, as long as each is shorter than the grace period.
    """
    from contrail.operations import maintain as upkeep
    from contrail.stages.results import MaintainDetails, MaintainResult
    from contrail.stages.sentences import counted, sentence

    loaded = load_pipeline(pipeline)
    retention, grace = loaded.spec.retention, timedelta(days=grace_days)
    found, lake = [], lake_of(loaded)
    with progress(f"maintain {pipeline}") as show:
        compacted = tuple(upkeep.compact(lake, dry_run=dry_run))
        for one in upkeep.maintain(lake, retention, grace, dry_run=dry_run):
            found.append(one)
            if one.files:
                show(f"{one.of}: {counted(one.files, one.size)}")
    details = MaintainDetails(dry_run=dry_run, removed=tuple(found), compacted=compacted)
    result = MaintainResult(pipeline=pipeline, details=details)
    if as_json:
        print_json(result.as_dict())
    else:
        done(escape(sentence("maintain", result)))
