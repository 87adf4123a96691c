"""Messages to people, and the channels that carry them without Airflow.

When a message is due is decided elsewhere. Channels that need Airflow's connections are in the plugin.
"""
