"""Pure maths: splits, point-in-time joins, metrics, gates, drift statistics, encodings.

No file, table, clock or service belongs here.
"""
