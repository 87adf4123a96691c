"""Everything of Contrail that imports Airflow.

Work on data does not belong here: an operator starts a command of ``contrail``, and reads its result.
"""
