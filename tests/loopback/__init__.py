"""A Google Cloud on this machine, for tests with Google's own clients, unmodified.

It has Cloud Storage (fake-gcs-server), Dataproc Serverless, the custom jobs of Vertex AI, and the services that are only asked:
who may do what, what is enabled, quotas, networks, images. Submitted jobs run as
processes of this machine. docs/gcp.md says what this does not prove.
"""
