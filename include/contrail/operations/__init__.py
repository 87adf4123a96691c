"""What a person or a schedule does with stages: backfills, late data, rollbacks, status and summary.

The work of one stage and the wording of reports do not belong here.
"""
