"""A respondent: a causal language model that is asked a questionnaire with a soft prompt in one of its slots."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from transformers import PreTrainedModel

from acculturate.errors import UserError, setting
from acculturate.model.choice import ModelChoice
from acculturate.model.engine import attention
from acculturate.model.engine.packed import (
    Answers,
    PackedEngine,
    PackingError,
    PlainEngine,
    embedding_of,
    out_of_memory,
    precision_name,
)
from acculturate.model.engine.packing import Cost, Plan, Sequence_, plan
from acculturate.model.generation import Batching, forward_batching, generation_batching
from acculturate.model.loading import Loaded, load_model
from acculturate.model.slot import Slot
from acculturate.model.soundness import check_embeddings, check_model, not_finite, packs, pads, scales_positions
from acculturate.model.template import TEMPLATE_DATE, Chat, Labels, Turn
from acculturate.survey.questionnaire import Questionnaire, present
from acculturate.survey.scoring import Response


@dataclass(frozen=True)
class Context:
    """What a respondent is told besides the question.

    ``system``: a system message (None: whatever the model's template does on its own). ``demonstrations``: per
    probed item, other items with the canonical index of the option they were answered with, asked before it.
    """

    system: str | None = None
    demonstrations: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)


class Respondent:
    """A frozen model, its tokenizer and the way its answers are read."""

    def __init__(self, choice: ModelChoice, loaded: Loaded | None = None) -> None:
        """``loaded``: a model that is in memory already, which ``choice`` then only describes."""
        loaded = loaded or load_model(choice)
        self.choice, self.identity = choice, loaded.identity
        self.model: PreTrainedModel = loaded.model
        self.chat = Chat(loaded.tokenizer)
        self._check()
        if attention.supports(self.model):
            self.model.set_attn_implementation(attention.NAME)
        self.packs, self.batch = True, 8
        """Whether questions may be packed, and the plain batch's size."""
        self.packed_sizes: dict[bool, tuple[int, ...]] = {}
        """Row tokens, row questions, question tokens that showed it; by whether anything precedes the slot."""

    def _check(self) -> None:
        """Find out what would make this model's numbers wrong, before there are any; ``UserError`` where it does."""
        specimen = self.chat.encode([Turn("user", "What matters?")], Slot.RESPONSE_START)
        ids = [*specimen.prefix, *specimen.suffix]
        self._check_ids(max(ids))
        check_model(self.model, ids)
        check_embeddings(self.model, self.vocabulary)
        if self.chat.prints_the_date:
            self.identity = {**self.identity, "template_date": TEMPLATE_DATE.isoformat()}
        if self.chat.opens_thoughts:
            warnings.warn(
                "This model's template begins every reply with thoughts; they are closed at once, so that the answer "
                "comes first. A model that needs to think may answer otherwise when it does.",
                stacklevel=3,
            )

    @cached_property
    def read_side_by_side(self) -> Batching:
        """Which texts may share a batch that is padded in front."""
        return forward_batching(self.model, self._short_and_long())

    @cached_property
    def generated_side_by_side(self) -> Batching:
        """Which texts may be generated in one batch; ``UserError`` where this architecture generates none."""
        return generation_batching(self.model, self._short_and_long())

    def _short_and_long(self) -> list[tuple[int, ...]]:
        texts = [self.chat.encode([Turn("user", "What matters?" * n)], Slot.RESPONSE_START) for n in (1, 8)]
        return [one.prefix + one.suffix for one in texts]

    @property
    def tokenizer(self):
        return self.chat.tokenizer

    @property
    def hidden(self) -> int:
        """Width of the input embeddings."""
        return int(embedding_of(self.model).weight.shape[1])

    @cached_property
    def unit(self) -> float:
        """Standard deviation of one embedding coordinate over the vocabulary, measured at the module's output."""
        some = np.random.default_rng(0).choice(self.vocabulary, size=min(4096, len(self.vocabulary)), replace=False)
        return float(self.rows(some).std())

    @cached_property
    def vocabulary(self) -> Int[np.ndarray, "tokens"]:
        """Ids of ordinary tokens: no control tokens, no unused rows."""
        n = min(len(self.tokenizer), embedding_of(self.model).weight.shape[0])
        return np.setdiff1d(np.arange(n), list(self.tokenizer.added_tokens_decoder))

    @torch.inference_mode()
    def rows(self, ids: Sequence[int] | Int[np.ndarray, "n"]) -> Float[np.ndarray, "n hidden"]:
        """Embeddings of tokens, taken through the embedding module (which may scale them), in float32."""
        index = torch.as_tensor(np.asarray(ids), device=self.model.device)
        return embedding_of(self.model)(index).float().cpu().numpy()

    def sequences(self, asked: Questionnaire, slot: str, context: Context) -> list[Sequence_]:
        """Token ids of every question up to where the label is read, formats outermost, with the slot in place."""
        lead = [Turn("system", context.system)] if context.system else []
        out: list[Sequence_] = []
        for form in asked.formats:
            for item in asked.instrument.item_ids:
                turns = list(lead)
                for other, option in context.demonstrations.get(item, ()):
                    shown = present(asked.instrument, other, form)
                    turns += [
                        Turn("user", shown.text),
                        Turn("assistant", shown.labels[shown.shown.index(option)]),
                    ]
                turns.append(Turn("user", present(asked.instrument, item, form).text))
                out.append(self.chat.encode(turns, slot))
        out = [
            Sequence_(one.prefix, one.suffix + labels.lead)
            for one, labels in zip(out, self._labels(asked), strict=True)
        ]
        self._check_ids(max(max(one.prefix + one.suffix) for one in out))
        unknown = self.tokenizer.unk_token_id
        if unknown is not None and any(unknown in one.prefix + one.suffix for one in out):
            warnings.warn(
                "This model's tokenizer lacks some characters of the questionnaire and reads them as unknown; ask in a "
                "language that it was made for.",
                stacklevel=3,
            )
        return out

    def options(self, asked: Questionnaire) -> Int[np.ndarray, "sequences options"]:
        """The token that begins the template's own reply with each label, in shown order; -1 beyond the last."""
        return self.option_tokens(asked)[..., 0]

    def option_tokens(self, asked: Questionnaire) -> Int[np.ndarray, "sequences options variants"]:
        """All tokens by which a reply may begin with each label, the template's own first; -1 where there are no more.

        A reply may begin with the label alone or with a space before it, where the template leaves that open.
        """
        chosen = []
        for question, labels in zip(asked.questions(), self._labels(asked), strict=True):
            tokens = [token for ids in labels.ids[: len(question.labels)] for token in ids]
            if len(set(tokens)) < len(tokens):
                raise UserError(
                    f"The labels {', '.join(question.labels)} begin with the same token for this model; "
                    "choose formats with other labels, like letters."
                )
            chosen.append(labels.ids[: len(question.labels)])
        shape = len(chosen), max(len(row) for row in chosen), max(len(ids) for row in chosen for ids in row)
        table = np.full(shape, -1, dtype=np.int64)
        for row, labels in zip(table, chosen, strict=True):
            for option, ids in zip(row, labels, strict=False):
                option[: len(ids)] = ids
        self._check_ids(int(table.max()))
        return table

    def _labels(self, asked: Questionnaire) -> list[Labels]:
        """How replies begin, per question: the same for all questions of a format, whose longest scale decides."""
        out = []
        for form in asked.formats:
            known = [present(asked.instrument, item, form).labels for item in asked.instrument.item_ids]
            out += [self.chat.labels(max(known, key=len))] * len(known)
        return out

    def _check_ids(self, highest: int) -> None:
        there = embedding_of(self.model).weight.shape[0]
        if highest >= there:
            raise UserError(
                f"The tokenizer has the token '{self.tokenizer.convert_ids_to_tokens(int(highest))}' with the number "
                f"{highest}, but the model's embedding ends at {there - 1}: tokens were added without resizing the "
                "model; resize its embedding, or use the tokenizer that it was trained with."
            )

    def check_window(self, sequences: Sequence[Sequence_], more: int, what: str = "its soft prompt") -> None:
        """Refuse questions that, with ``more`` tokens, are longer than the model reads."""
        config = self.model.config.get_text_config()
        limit = getattr(config, "max_position_embeddings", None) or getattr(config, "max_seq_len", None)  # MPT
        longest = max(len(s) for s in sequences) + more
        if limit and longest > limit:
            raise UserError(f"A question is {longest} tokens long with {what}, but this model reads {limit} at most.")

    def cost(self) -> Cost:
        """What attention costs here relative to the weight products of one token (packing.Cost)."""
        config = self.model.config.get_text_config()
        weights = sum(
            p.numel() for name, p in self.model.named_parameters() if "embed" not in name and "head" not in name
        )
        heads = getattr(config, "num_attention_heads", None) or 1  # a recurrent model has none
        width = heads * (getattr(config, "head_dim", None) or self.hidden // heads)
        # Attention runs at about a third of the rate of large matrix products, hence the factor.
        return Cost(pair=3 * 2 * width * config.num_hidden_layers / weights)


class Interview:
    """One questionnaire put to one respondent in one context, for soft prompts of one size in one slot.

    ``rows`` candidates share a forward pass. Every pass has exactly that many (a short last one repeats its last
    candidate), so that a candidate's numbers do not depend on how many others there are.
    """

    def __init__(
        self,
        respondent: Respondent,
        asked: Questionnaire,
        *,
        slot: str = Slot.RESPONSE_START,
        n_tokens: int = 0,
        context: Context | None = None,
        rows: int = 1,
    ) -> None:
        self.respondent, self.asked, self.slot, self.n_tokens, self.rows = (
            respondent,
            asked,
            slot,
            n_tokens,
            rows,
        )
        sequences = respondent.sequences(asked, slot, context or Context())
        if n_tokens == 0:  # nothing depends on a candidate: the slot is nowhere
            sequences = [Sequence_((), s.prefix + s.suffix) for s in sequences]
        self._sequences, self._options = sequences, respondent.option_tokens(asked)
        respondent.check_window(sequences, n_tokens)
        self.plan: Plan = plan(sequences, n_tokens, respondent.cost())
        self._engine = self._build()

    @property
    def engine(self) -> PackedEngine | PlainEngine:
        """What computes the answers: packed where the architecture allows it."""
        return self._engine

    @property
    def lengths(self) -> list[int]:
        """Tokens of every question, the soft prompt included."""
        return [len(s) + self.n_tokens for s in self._sequences]

    def _build(self) -> PackedEngine | PlainEngine:
        """The packed engine, unless this architecture computes something else with it than one at a time."""
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
                seen = respondent.packed_sizes.get(static, (0, 0, 0))
                known = all(a <= b for a, b in zip(size, seen, strict=True)) and not scales_positions(model)
                if known or packs(model, self.plan, self._sequences, self._options, self._specimen()):
                    respondent.packed_sizes[static] = tuple(map(max, size, seen))
                    return PackedEngine(model, self.plan, self._options)
                reason = "its packed answers differ from those one at a time"
            except PackingError as error:
                reason = str(error)
            self._unpackable(reason)
        return PlainEngine(model, self._sequences, self._options, batch=respondent.batch)

    def _unpackable(self, reason: str) -> None:
        """Have this architecture asked in plain batches from now on, and say so."""
        respondent, model = self.respondent, self.respondent.model
        respondent.packs = False
        respondent.batch = 8 if pads(model, self._sequences, self._options, self._specimen()) else 1
        warnings.warn(
            f"This architecture ({model.config.model_type}) cannot be packed ({reason}); "
            "answers are computed in plain batches, with the same numbers but more slowly.",
            stacklevel=4,
        )

    def _specimen(self) -> Float[np.ndarray, "1 tokens hidden"]:
        prompt = np.random.default_rng(0).standard_normal((1, self.n_tokens, self.respondent.hidden))
        return (prompt * self.respondent.unit).astype(np.float32)

    def __call__(self, prompts: Float[np.ndarray, "candidates tokens hidden"]) -> list[Response]:
        """The response to every soft prompt, in order. Halves ``rows`` when memory runs out, with a warning."""
        if prompts.shape[1:] != (self.n_tokens, self.respondent.hidden):
            raise UserError(
                f"The soft prompt has the shape {prompts.shape[1:]}, but this model and slot expect "
                f"{self.n_tokens} tokens of width {self.respondent.hidden}."
            )
        responses: list[Response] = []
        while len(responses) < len(prompts):
            chunk = prompts[len(responses) : len(responses) + self.rows]
            filled = np.concatenate([chunk, np.repeat(chunk[-1:], self.rows - len(chunk), axis=0)])
            try:
                answers = self._engine(filled)
            except PackingError as error:  # it was compared in float32; low precision may have code of its own
                self._unpackable(str(error))
                self._engine = self._build()
                continue
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                self._shrink()
                continue
            responses += self._responses(answers)[: len(chunk)]
        return responses

    def _shrink(self) -> None:
        if self.rows == 1:
            raise UserError(
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
        del self._engine
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._engine = self._build()

    def _responses(self, answers: Answers) -> list[Response]:
        logprobs = self.asked.canonical(answers.logprobs)
        mass = answers.mass.reshape(logprobs.shape[:3])
        return [Response(*pair) for pair in zip(logprobs, mass, strict=True)]

    def ask(self) -> Response:
        """The response without a soft prompt (``n_tokens`` 0). ``UserError`` where an answer is no number."""
        response = self(np.zeros((1, 0, self.respondent.hidden), dtype=np.float32))[0]
        lost = np.isnan(response.mass) | np.isnan(response.logprobs).any(axis=-1)
        if lost.any():
            dtype = precision_name(self.respondent.model)
            raise UserError(not_finite(dtype, f"answers to {lost.sum()} of {lost.size} questions are NaN"))
        return response
