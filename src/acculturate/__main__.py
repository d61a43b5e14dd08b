"""The program ``acculturate``, and ``python -m acculturate``."""

from __future__ import annotations

from acculturate import interruption


def main() -> None:
    """Run the command line; Ctrl-C is answered while its libraries are loaded too."""
    try:
        from acculturate.cli import main as command_line

        command_line()
    except KeyboardInterrupt:
        interruption.stop()


if __name__ == "__main__":
    main()
