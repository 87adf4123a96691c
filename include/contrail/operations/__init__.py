"""What a person or a schedule does with stages: backfills, late data, rollbacks, status and summary.

The work of one stage does not belong here, nor does the wording of reports.
"""
