"""Reports for people: plots, and the pages of decisions, differences, drift and contracts.

A report only shows its input. Reading tables and judging models do not belong here.
"""
