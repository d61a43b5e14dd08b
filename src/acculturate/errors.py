"""The one exception that a user's mistake raises: its message is a sentence, shown without a traceback."""


class UserError(Exception):
    """What was wrong, where, what was expected and what to do, in one clear sentence."""
