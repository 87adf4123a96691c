"""How `contrail inspect-features` works: rows, losses without a feature, trees without it, what building it costs, verdicts.

Nothing here publishes.
"""
