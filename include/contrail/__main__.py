"""``python -m contrail`` is the command ``contrail``."""

from contrail.cli import main

main()
