"""The program ``acculturate``, and ``python -m acculturate``."""

from __future__ import annotations

import os
import sys

from acculturate.cli import interruption


def main() -> None:
    """Run the command line; Ctrl-C and its relatives are answered while its libraries are loaded too."""
    try:
        with interruption.ends_like_ctrl_c():
            try:
                from acculturate.cli.main import main as command_line

                command_line()
            except KeyboardInterrupt:
                interruption.stop()
    except SystemExit as end:
        if end.code != interruption.EXIT:
            raise
        # Python would end as if nobody had caught a Ctrl-C that came while a library ran code of its own making.
        sys.stderr.flush()
        os._exit(interruption.EXIT)


if __name__ == "__main__":
    main()
