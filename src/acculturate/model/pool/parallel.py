"""The setting ``parallel``: how many processes evaluate candidates, and where they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from acculturate.errors import SettingError
from acculturate.legible import shown

MOST = 1024
_WORDS = re.compile(r"none|(local):([0-9]{1,4})|(ray)(?::([0-9]{1,4}))?")


@dataclass(frozen=True)
class Parallel:
    """Say who evaluates candidates: this process, or several on this machine or in a Ray cluster.

    ``processes``: how many; None for as many as a Ray cluster has room for.
    """

    kind: Literal["none", "local", "ray"] = "none"
    processes: int | None = 1

    @classmethod
    def parse(cls, text: str) -> Parallel:
        """Read ``none``, ``local:N``, ``ray`` or ``ray:N``; ``ValueError`` for anything else."""
        match = _WORDS.fullmatch(text)
        local, count, ray, actors = match.groups() if match else (None,) * 4
        number = count or actors
        processes = int(number) if number else None
        if match is None or (processes is not None and not 1 <= processes <= MOST):
            raise ValueError(
                f"expected none, local:N for N processes on this machine, or ray or ray:N for a Ray cluster; N from 1 "
                f"to {MOST:,}"
            )
        if ray:
            return cls("ray", processes)
        return cls("local", processes) if local else cls()


def check_parallel(text: str) -> None:
    """Refuse a value of ``parallel`` that means nothing; raises ``UserError``."""
    try:
        Parallel.parse(text)
    except ValueError as error:
        raise SettingError(f"Bad value for 'parallel' (given: {shown(text)}): {error}.") from None
