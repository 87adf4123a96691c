"""How a person's rows are found and removed: what was asked, the search, and the places where rows live.

Only ``contrail.operations.forget`` calls it.
"""
