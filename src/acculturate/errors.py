"""The one exception that a user's mistake raises: its message is a sentence, shown without a traceback."""


class UserError(Exception):
    """What was wrong, where, what was expected and what to do, in one clear sentence."""


def first_line(error: object, length: int = 200) -> str:
    """The first line of somebody else's error, without its full stop and cut short, for a sentence of ours."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    line = " ".join(lines[0].split()).rstrip(".")
    return line if len(line) <= length else f"{line[: length - 3]}..."
