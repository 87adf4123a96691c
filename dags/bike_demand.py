"""The DAGs of ``bike_demand`` in Airflow. What each of them does is in plugins/contrail_airflow/dags, one module a DAG."""

from contrail_airflow.dags.file import DagFile

dags = DagFile(__file__)

daily = dags.daily("bike_demand")  # bike_demand__daily: a day's chain up to its features
score = dags.score("bike_demand")  # bike_demand__score: its predictions
monitor = dags.monitor("bike_demand")  # bike_demand__monitor: drift, performance, and whether to train again
train = dags.train("bike_demand")  # bike_demand__train: a new candidate and its gate
tune = dags.tune("bike_demand")  # bike_demand__tune: a search for better parameters
backfill = dags.backfill("bike_demand")  # bike_demand__backfill: a range of days as a few large jobs
rollback = dags.rollback("bike_demand")  # bike_demand__rollback: the champion is taken back, with a plan first
maintain = dags.maintain("bike_demand")  # bike_demand__maintain: what nothing needs any more goes
replay = dags.replay("bike_demand")  # bike_demand__replay: mended rows of the quarantine
