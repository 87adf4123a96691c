"""The embedded Airflow of one machine: start, stop, users, settings, and the main job.

Nothing that production needs belongs here.
"""
