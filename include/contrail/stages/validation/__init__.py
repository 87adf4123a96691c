"""The steps of ``validate``.

Other stages do not import them.
"""
