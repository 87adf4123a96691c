"""The lake: Iceberg tables, their schemas, the one publisher, and the readers of people and stages.

Computing rows does not belong here.
"""
