"""The page Contrail in Airflow's UI: a FastAPI app that Airflow mounts, and the files of the page.

It has no logic of its own. Each view reads through ``contrail.operations`` and ``contrail.reports``, as the commands do.
"""
