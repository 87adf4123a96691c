"""Jobs on Google Cloud: submit, look, wait, cancel, and what they cost.

What a job does is a command of ``contrail``; the payload is made by ``contrail.dispatch``.
"""
