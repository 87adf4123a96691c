"""The steps of ``ingest``.

Other stages do not import them.
"""
