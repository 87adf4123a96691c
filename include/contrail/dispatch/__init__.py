"""From a command to where it runs: what is sent, the code that travels with it, what comes back, what it costs.

Pure but for the upload of code, the reading of results, and receipts. Submitting a job belongs to an orchestrator.
"""
