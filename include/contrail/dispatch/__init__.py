"""Remote jobs: what is sent, the code that travels with it, what comes back, and what it costs.

Only the upload of code, the reading of results and the receipts do I/O. An orchestrator submits jobs.
"""
