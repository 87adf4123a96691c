"""The ML Test Score of a pipeline: 28 tests, each run now or cited from recorded evidence.

``claims`` has what a test answers with, ``state`` and ``repository`` what it looks at, ``card`` the whole.
"""
