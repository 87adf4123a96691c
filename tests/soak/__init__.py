"""Up to 293 simulated days of both shipped pipelines through a running Airflow, with planted incidents.

Each simulated day lands its files, and starts the daily DAGs as their schedule would. What each incident is stands in
``of_feeds``, ``of_machines`` and ``of_people``; what must be true in the end stands in ``judged``.
"""
