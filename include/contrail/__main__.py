"""``python -m contrail`` is the command ``contrail``."""

from contrail.cli.app import main

main()
