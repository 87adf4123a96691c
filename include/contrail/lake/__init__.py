"""The lake: Iceberg tables, one publisher, and the readers of both people and stages."""
