"""From a command to where it runs: what is sent, the code that travels with it, and what comes back.

Pure but for the upload of code and the reading of results; submitting is for an orchestrator.
"""
