"""An interview: one questionnaire put to one respondent, with soft prompts in one of its slots."""

from __future__ import annotations

import warnings
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float

from acculturate.errors import ModelError, SettingError, setting
from acculturate.model.answers.labels import LabelReading
from acculturate.model.answers.reading import Read, Reading
from acculturate.model.engine.forward import Answers, out_of_memory, precision_name
from acculturate.model.engine.packed import PackedEngine, PackingError
from acculturate.model.engine.packing import Plan, SlottedTokens, build_row, end_at_slot, plan
from acculturate.model.engine.plain import PlainEngine
from acculturate.model.engine.size import packing_cost
from acculturate.model.kept_answers import kept_answers
from acculturate.model.respondent import Context, Respondent
from acculturate.model.slot import Slot
from acculturate.model.soundness import not_finite, packed_engine, pads, scales_positions
from acculturate.survey.questionnaire import Questionnaire
from acculturate.survey.response import Response


class Interview:
    """Put one questionnaire to one respondent in one context, for soft prompts of one size in one slot.

    Parameters
    ----------
    respondent
        The model.
    questionnaire
        The instrument in its formats.
    slot, n_tokens
        Where the soft prompt stands, and its number of virtual tokens; 0 for no soft prompt.
    context
        What the respondent reads besides the question.
    rows
        Candidates that share a forward pass. Every pass has exactly that many: a short last one repeats its last
        candidate, so that a candidate's numbers do not depend on how many others there are.
    read
        How answers are read: from the labels, or from the options' own words.
    lazily
        Whether what does not depend on a soft prompt is computed only when it is needed, because its answers may be
        kept; and then with the answers without a prompt, where they can be had beside (``ask_untuned``).

    Raises
    ------
    UserError
        Where a question is longer than the model reads, or its labels or template do not fit.
    """

    def __init__(
        self,
        respondent: Respondent,
        questionnaire: Questionnaire,
        *,
        slot: str = Slot.RESPONSE_START,
        n_tokens: int = 0,
        context: Context | None = None,
        rows: int = 1,
        read: Read = LabelReading,
        lazily: bool = False,
    ) -> None:
        self.respondent, self.questionnaire = respondent, questionnaire
        self.n_tokens, self.rows = n_tokens, rows
        self.reading: Reading = read(respondent, questionnaire, slot, context or Context())
        self._sequences = list(self.reading.sequences)
        if n_tokens == 0:  # nothing depends on a candidate: the slot is nowhere
            self._sequences = [SlottedTokens((), s.prefix + s.suffix) for s in self._sequences]
        respondent.check_window(self._sequences, n_tokens)
        self._lazily = lazily
        self._engine: PackedEngine | PlainEngine | None = None
        if n_tokens and not lazily:  # what cannot be computed is said before a search, not in it
            self._engine = self._build()

    @cached_property
    def plan(self) -> Plan:
        """Lay the questions out as packed passes."""
        cost = packing_cost(self.respondent.model)
        return plan(self._sequences, self.n_tokens, cost, with_untuned=self._lazily)

    @property
    def tokens(self) -> int:
        """Count the tokens that one candidate costs, those that questions share once."""
        return len(build_row(self._sequences, self.n_tokens, range(len(self._sequences))).dynamic)

    @property
    def engine(self) -> PackedEngine | PlainEngine:
        """Give what computes the answers: packed where the architecture allows it."""
        if self._engine is None:
            self._engine = self._build()
        return self._engine

    @property
    def lengths(self) -> list[int]:
        """Count the tokens of every question, the soft prompt included."""
        return [len(s) + self.n_tokens for s in self._sequences]

    def _build(self) -> PackedEngine | PlainEngine:
        """Build the engine, or take the one that an earlier run left where such are kept.

        Questions whose answers are kept on disk are asked once: their engines would only take the place of others.
        """
        kept = self.respondent.engines
        if kept is None or self._lazily or not self.n_tokens or not self.respondent.packs:
            return self._built()
        options = self.reading.options
        return kept.get((tuple(self._sequences), self.n_tokens, options.shape, options.tobytes()), self._built)

    def _built(self) -> PackedEngine | PlainEngine:
        """Build the packed engine, unless this architecture computes something else with it than one at a time."""
        respondent, model = self.respondent, self.respondent.model
        rows = [row for group in self.plan.passes for row in group]
        static = any(len(row.static) for row in rows)
        size = (
            max(len(row.static) + len(row.dynamic) for row in rows),
            max(len(row.sequences) for row in rows),
            max(self.lengths),
        )
        if respondent.packs:
            try:
                # A longer row may be the first to leave a local window, a fuller one the first to mix questions up.
                compared = respondent.packed_sizes.get(static, (0, 0, 0))
                smaller = all(a <= b for a, b in zip(size, compared, strict=True)) and not scales_positions(model)
                options = self.reading.options
                if smaller:
                    return PackedEngine(model, self.plan, options)
                engine = packed_engine(model, self.plan, self._sequences, options, self._specimen())
                if engine is not None:
                    respondent.packed_sizes[static] = tuple(map(max, size, compared))
                    return engine
                reason = "its packed answers differ from those one at a time"
            except PackingError as error:
                reason = str(error)
            self._unpackable(reason)
        return PlainEngine(model, self._sequences, self.reading.options, batch=respondent.batch)

    def _unpackable(self, reason: str) -> None:
        """Have this architecture asked in plain batches from now on, and say so."""
        respondent, model = self.respondent, self.respondent.model
        respondent.packs = False
        respondent.batch = 8 if pads(model, self._sequences, self.reading.options, self._specimen()) else 1
        warnings.warn(
            f"This architecture ({model.config.model_type}) cannot be packed ({reason}); "
            "answers are computed in plain batches, with the same numbers but more slowly.",
            stacklevel=4,
        )

    def _specimen(self) -> Float[np.ndarray, "1 tokens hidden"]:
        prompt = np.random.default_rng(0).standard_normal((1, self.n_tokens, self.respondent.hidden))
        return (prompt * self.respondent.unit).astype(np.float32)

    def __call__(self, prompts: Float[np.ndarray, "candidates tokens hidden"]) -> list[Response]:
        """Give the response to every soft prompt, in order.

        Halves ``rows`` when memory runs out, with a warning. Raises ``UserError`` for prompts of another shape, and
        where one candidate does not fit into memory.
        """
        if prompts.shape[1:] != (self.n_tokens, self.respondent.hidden):
            raise SettingError(
                f"The soft prompt has the shape {prompts.shape[1:]}, but this model and slot expect "
                f"{self.n_tokens} tokens of width {self.respondent.hidden}."
            )
        responses: list[Response] = []
        while len(responses) < len(prompts):
            chunk = prompts[len(responses) : len(responses) + self.rows]
            filled = np.concatenate([chunk, np.repeat(chunk[-1:], self.rows - len(chunk), axis=0)])
            answers = self._answers(filled)
            if answers is not None:
                responses += self.reading.responses(answers)[: len(chunk)]
        return responses

    def _answers(self, prompts: Float[np.ndarray, "rows tokens hidden"]) -> Answers | None:
        """Compute the answers after some soft prompts; None where that has to be tried again in another way."""
        if self._engine is None:
            self._engine = self._build()
        try:
            return self._engine(prompts)
        except PackingError as error:  # it was compared in float32; low precision may have code of its own
            self._unpackable(str(error))
            self._engine = self._build()
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            self._shrink()
        return None

    def _shrink(self) -> None:
        if self.rows == 1:
            raise ModelError(
                f"One candidate does not fit into memory; use a smaller model, {setting('dtype', 'bfloat16')}, fewer "
                "formats or another device."
            )
        warnings.warn(
            f"Memory ran out with {self.rows} candidates per forward pass; going on with {self.rows // 2}. Numbers may "
            f"differ in their last digits from those before; {setting('rows', self.rows // 2)} avoids it from the "
            "start.",
            stacklevel=4,
        )
        self.rows = self.rows // 2
        # The old engine's buffers go first, or there would be two of everything when memory is short.
        self._engine = None
        if self.respondent.engines is not None:
            self.respondent.engines.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._engine = self._build()

    def ask(self, prompt: Float[np.ndarray, "tokens hidden"] | None = None) -> Response:
        """Give the response after one soft prompt, or without (``n_tokens`` 0); ``UserError`` where one is no number.

        The model is asked once and for all: its answers are kept, and found again by whatever decides them.
        """
        soft = np.zeros((0, self.respondent.hidden), dtype=np.float32) if prompt is None else prompt
        filled = np.repeat(soft[None], self.rows, axis=0).astype(np.float32)
        answers = kept_answers(self.respondent, self._sequences, self.reading.options, soft, lambda: self._ask(filled))
        return self._response(answers)

    def ask_untuned(self) -> Response | None:
        """Give the response without a soft prompt, computed with what stands before the slot; it is kept as well.

        None where questions go on behind the slot, or are not packed: they have to be asked again without it.
        """
        if not (self._lazily and self.respondent.packs and end_at_slot(self._sequences)):
            return None
        none = np.zeros((0, self.respondent.hidden), dtype=np.float32)
        answers = kept_answers(self.respondent, self._sequences, self.reading.options, none, self._untuned)
        return None if answers is None else self._response(answers)

    def _untuned(self) -> Answers | None:
        engine = self.engine
        return engine.untuned() if isinstance(engine, PackedEngine) else None

    def _response(self, answers: Answers) -> Response:
        response = self.reading.responses(answers)[0]
        lost = np.isnan(response.mass) | np.isnan(response.logprobs).any(axis=-1)
        if lost.any():
            dtype = precision_name(self.respondent.model)
            raise ModelError(not_finite(dtype, f"answers to {lost.sum()} of {lost.size} questions are NaN"))
        return response

    def _ask(self, prompts: Float[np.ndarray, "rows tokens hidden"]) -> Answers:
        answers = None
        while answers is None:
            answers = self._answers(prompts[: self.rows])
        return answers
