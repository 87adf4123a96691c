"""How `contrail reproduce` works: a scratch place with the kept code and libraries, a fit there, and what is compared.

Nothing here publishes.
"""
