"""The steps of the stage ``promote``: who is judged on what, the evidence, the record, and the aliases that follow.

Only ``contrail.stages.promote`` calls them. The checks and the verdict are pure, in ``contrail.methods``.
"""
