"""`python -m madstar` is the command line."""

from .cli import main

main()
