"""The steps of the stage ``train``: its rows, its checkpoints, the model's package, and what is kept of a training.

Only ``contrail.stages.train`` calls them. How trees grow and what metrics mean belongs to ``contrail.methods``.
"""
