"""The DAGs of ``flight_delay`` in Airflow. What each of them does is in plugins/contrail_airflow/dags, one module a DAG."""

from contrail_airflow.dags.file import DagFile

dags = DagFile(__file__)

daily = dags.daily("flight_delay")  # flight_delay__daily: a day's chain up to its features
score = dags.score("flight_delay")  # flight_delay__score: its predictions
monitor = dags.monitor("flight_delay")  # flight_delay__monitor: drift, performance, and whether to train again
train = dags.train("flight_delay")  # flight_delay__train: a new candidate and its gate
tune = dags.tune("flight_delay")  # flight_delay__tune: a search for better parameters
backfill = dags.backfill("flight_delay")  # flight_delay__backfill: a range of days as a few large jobs
rollback = dags.rollback("flight_delay")  # flight_delay__rollback: the champion is taken back, with a plan first
maintain = dags.maintain("flight_delay")  # flight_delay__maintain: what nothing needs any more goes
replay = dags.replay("flight_delay")  # flight_delay__replay: mended rows of the quarantine
