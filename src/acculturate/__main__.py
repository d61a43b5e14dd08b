"""``python -m acculturate`` is the command line."""

from acculturate.cli import main

main()
