"""The steps of ``contrail new``: read a sample, take roles for its columns, write the folder.

``operations.new`` calls them in order.
"""
