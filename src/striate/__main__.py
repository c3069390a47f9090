"""`python -m striate` is the command line."""

from striate.apps.cli import main

main()
