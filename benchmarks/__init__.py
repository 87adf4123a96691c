"""Measurements of Contrail, run by `make bench`."""
