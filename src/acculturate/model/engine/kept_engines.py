"""Laid-out questionnaires that stay in memory, for runs that ask one model the same questions one after the other."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

from acculturate.model.engine.packed import PackedEngine

E = TypeVar("E")


class KeptEngines:
    """Keep packed engines of one model, those asked for last, in limited memory.

    Parameters
    ----------
    room
        Bytes that they may hold together. An engine that alone holds more is not kept.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self._engines: OrderedDict[Hashable, PackedEngine] = OrderedDict()

    def __len__(self) -> int:
        return len(self._engines)

    def get(self, key: Hashable, build: Callable[[], E]) -> E | PackedEngine:
        """Return the engine of a key, built where there is none; ``key``: all that decides its answers but the model.

        What ``build`` returns is kept if it is a packed engine: plain ones hold nothing that takes time.
        """
        if key in self._engines:
            self._engines.move_to_end(key)
            return self._engines[key]
        engine = build()
        if isinstance(engine, PackedEngine):
            self._engines[key] = engine
            self._make_room()
        return engine

    def clear(self) -> None:
        """Let all of them go."""
        self._engines.clear()

    def _make_room(self) -> None:
        while sum(engine.held_bytes for engine in self._engines.values()) > self.room:
            self._engines.popitem(last=False)
