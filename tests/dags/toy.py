"""The DAGs of the tests' pipeline."""

from contrail_airflow.dags.file import DagFile

dags = DagFile(__file__)

daily = dags.daily("toy")
score = dags.score("toy")
monitor = dags.monitor("toy")
train = dags.train("toy")
tune = dags.tune("toy")
backfill = dags.backfill("toy")
rollback = dags.rollback("toy")
maintain = dags.maintain("toy")
replay = dags.replay("toy")
