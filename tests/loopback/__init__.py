"""A Google Cloud on this machine, for tests with Google's own clients, unmodified.

Cloud Storage (fake-gcs-server), Dataproc Serverless and the custom jobs of Vertex AI, which run what is submitted as
processes here. What it does not prove is in docs/gcp.md.
"""
