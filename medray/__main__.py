"""`python -m medray`: the command line, where no script of that name is on the path."""

from medray.cli import main

main(prog_name="medray")
