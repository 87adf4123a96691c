"""The steps of the stage ``tune``: what it searches, its trials on folds, and what is kept of a study.

Only ``contrail.stages.tune`` calls them. Which parameters come next belongs to ``contrail.methods.search``, and how trees
grow to ``contrail.methods.fit``.
"""
