"""A conversation with a model, turn after turn, with the soft prompt in the current one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from acculturate.model.reply import Decoding, Piece, Reply, conversation, fitting, write_reply
from acculturate.model.respondent import Respondent
from acculturate.model.soft_prompt import SoftPrompt
from acculturate.model.template import Turn


class Conversation:
    """Remember what was said, and answer what is said next.

    Earlier replies stand in the conversation as plain text: the prompt has one place, its slot in the current turn.

    Parameters
    ----------
    respondent
        The model.
    prompt
        The soft prompt; None for the untuned model.
    how
        How replies are drawn. They are shorter where the model's window ends.
    seed
        What all draws follow from; None for fresh ones.
    system
        A system message.
    """

    def __init__(
        self,
        respondent: Respondent,
        prompt: SoftPrompt | None,
        how: Decoding,
        *,
        seed: int | None = None,
        system: str | None = None,
    ) -> None:
        self._respondent, self._prompt, self._how, self._seed = respondent, prompt, how, seed
        self._lead = (Turn("system", system),) if system else ()
        self.turns: tuple[Turn, ...] = ()

    def reset(self) -> None:
        """Forget what was said."""
        self.turns = ()

    def answer(self, message: str, each: Callable[[str], None] = lambda _: None) -> Reply:
        """Answer a message, and hand the text on as it is written.

        An answer that is interrupted is remembered as far as it went; a message without any answer is forgotten. Raises
        ``UserError`` where the conversation does not fit the model's window.
        """
        turns = (*self.turns, Turn("user", message))
        sequence = conversation(self._respondent, [*self._lead, *turns], self._prompt)
        draw = np.random.default_rng(None if self._seed is None else [self._seed, len(self.turns) // 2])
        pieces: list[str] = []

        def tell(piece: Piece) -> bool:
            pieces.append(piece.text)
            each(piece.text)
            return True

        try:
            how = fitting(self._respondent, sequence, self._prompt, self._how)
            reply = write_reply(self._respondent, sequence, self._prompt, how, draw, tell)
        except BaseException:
            if text := "".join(pieces):
                self.turns = (*turns, Turn("assistant", text))
            raise
        self.turns = (*turns, Turn("assistant", reply.text))
        return reply
