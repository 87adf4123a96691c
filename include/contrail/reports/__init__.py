"""What people look at: plots, and the pages of decisions, differences, drift and contracts.

Pages show what they are given. Reading tables and judging models do not belong here.
"""
