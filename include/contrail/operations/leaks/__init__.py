"""What `contrail check-leaks` looks at: features built without the future, columns that know too much, clocks, trainings.

Nothing here publishes.
"""
