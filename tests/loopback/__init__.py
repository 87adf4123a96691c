"""A Google Cloud on this machine, for tests with Google's own clients, unmodified.

It has Cloud Storage (fake-gcs-server), Dataproc Serverless and the custom jobs of Vertex AI. Submitted jobs run as
processes of this machine. docs/gcp.md says what this does not prove.
"""
