"""What a notebook reads: tables, models, decisions and receipts. It starts with ``contrail.open``, and changes nothing.

It is a door, as the command line is one: the same functions answer at both, and here is no logic of their own.
"""
