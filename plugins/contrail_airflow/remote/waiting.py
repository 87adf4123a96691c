"""Jobs that wait too long for a machine: they are cancelled, and count as an attempt.

Without quota Vertex AI keeps a job queued for ever. How long a job has waited comes from the job's own times, so neither a
new triggerer nor a later attempt gives it more.
"""

from datetime import UTC, datetime

from contrail.config.machines import quota
from contrail.config.targets import VertexTarget
from contrail.dispatch.outcome import read_wait, record_wait
from contrail.methods.cost import MachineUsage
from contrail_airflow.remote.remote_jobs import CONSOLE, GoogleTarget, RemoteJob, RemoteJobs

# Somebody who cancels a job may meet one that has just begun.
_JUST_BEGUN_SECONDS = 60.0


def end_if_too_long(jobs: RemoteJobs, job: RemoteJob, target: GoogleTarget, folder: str) -> bool:
    """Cancel a job that has waited for a machine longer than its target allows. The folder is the job's.

    Returns:
        Whether it waited too long. A job that is being cancelled, or has ended, does not wait.
    """
    if job.state != "active" or job.waits_since is None or not isinstance(target, VertexTarget):
        return False
    minutes = minutes_waited(job)
    if minutes < target.queue_minutes:
        return False
    record_wait(folder, minutes)
    jobs.cancel(job.name)
    return True


def minutes_waited(job: RemoteJob) -> float:
    """How long a job has waited for a machine until now; 0 for one that had a machine."""
    return (datetime.now(UTC) - job.waits_since).total_seconds() / 60 if job.waits_since else 0.0


def waited_too_long(job: RemoteJob, folder: str) -> float | None:
    """The minutes after which Contrail cancelled a job that had no machine; None for a job that ended otherwise."""
    ran = job.usage.seconds if isinstance(job.usage, MachineUsage) else 0.0
    if job.state != "cancelled" or (job.waits_since is None and ran >= _JUST_BEGUN_SECONDS):
        return None
    return read_wait(folder)


def no_machine(job: RemoteJob, target: GoogleTarget, minutes: float) -> str:
    """Say for which machine a job waited, what may be the reason, and what to do."""
    if not isinstance(target, VertexTarget):
        return f"it got no machine in {minutes:.0f} minutes"
    place = target.place(int(job.labels.get("attempt", 1)))
    needed = quota(place.machine_type, place.accelerator_type or "", spot=place.spot)
    return (
        f"it got no machine in {minutes:.0f} minutes (queue_minutes: {target.queue_minutes}), so it was cancelled: {place}\n"
        f"Either there is no quota left, or {place.region} has no such machine free. See the quota {needed} of "
        f"{place.region}: {CONSOLE}/iam-admin/quotas?project={target.project}\n"
        "Ask for more of it, or give the target other places to try (fallbacks, in docs/gcp.md)"
    )
