"""Messages to people, and the channels that carry them without Airflow.

Other modules decide when a message is due. Channels that need Airflow's connections are in the plugin.
"""
