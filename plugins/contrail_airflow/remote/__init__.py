"""Jobs on Google Cloud: submit them, poll them, cancel them, and settle their cost.

A job runs a command of ``contrail``. ``contrail.dispatch`` writes its payload.
"""
