"""A respondent: a causal language model, its tokenizer, and how questions become token ids for it."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from acculturate.errors import ModelError, SettingError, setting
from acculturate.model.choice import ModelChoice
from acculturate.model.engine import attention
from acculturate.model.engine.batches import Batching
from acculturate.model.engine.forward import embedding_of, input_device, whole_state
from acculturate.model.engine.kept_engines import KeptEngines
from acculturate.model.engine.packing import SlottedTokens
from acculturate.model.generation import generation_batching
from acculturate.model.loading import Loaded, load_model
from acculturate.model.pool.protocol import Pool
from acculturate.model.slot import Slot
from acculturate.model.soundness import check_embeddings, check_model
from acculturate.model.template import Chat, Labels, Turn
from acculturate.model.template_date import TEMPLATE_DATE
from acculturate.survey.formats import Format
from acculturate.survey.instrument import Instrument
from acculturate.survey.questionnaire import Questionnaire, present


@dataclass(frozen=True)
class Context:
    """Describe what a respondent reads besides the question.

    Parameters
    ----------
    system
        A system message; None for whatever the model's template does on its own.
    demonstrations
        Per probed item, other items that are asked before it, with the canonical index of the option they were
        answered with.
    """

    system: str | None = None
    demonstrations: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)


class Respondent:
    """Hold a frozen model with its tokenizer, and turn questionnaires into token ids for it.

    Parameters
    ----------
    choice
        Which model, and in what precision and place.
    loaded
        A model that is in memory already, which ``choice`` then only describes.

    Raises
    ------
    UserError
        Where the model cannot be loaded, or its numbers would be wrong.
    """

    def __init__(self, choice: ModelChoice, loaded: Loaded | None = None) -> None:
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
        self.engines: KeptEngines | None = None
        """What runs after each other lay out alike; None where nobody comes after."""
        self.precise: Respondent | None = None
        """The same model in float32, where runs after each other measure with it."""
        self.pool: Pool | None = None
        """Processes that hold the same model and share the candidates of interviews; None for this one alone."""

    def _check(self) -> None:
        """Refuse a model whose numbers would be wrong, before there are any; raises ``UserError``."""
        specimen = self.chat.encode([Turn("user", "What matters?")], Slot.RESPONSE_START)
        ids = [*specimen.prefix, *specimen.suffix]
        self.check_ids(max(ids))
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
    def weights_sum(self) -> str:
        """Sum the bits of all weights, in order: two models that share a name still have different sums."""
        total = hashlib.sha256()
        for name, weights in whole_state(self.model):
            words = weights.detach().contiguous().reshape(-1).view(torch.uint8)
            words = words[: len(words) // 2 * 2].view(torch.int16)
            some = words[:: max(1, len(words) // 64)][:64].tolist()
            total.update(f"{name} {tuple(weights.shape)} {words.sum(dtype=torch.int64).item()} {some}".encode())
        return total.hexdigest()

    @cached_property
    def generated_side_by_side(self) -> Batching:
        """Find out which texts may be generated in one batch; ``UserError`` where this architecture generates none."""
        return generation_batching(self.model, self._short_and_long())

    def _short_and_long(self) -> list[tuple[int, ...]]:
        texts = [self.chat.encode([Turn("user", "What matters?" * n)], Slot.RESPONSE_START) for n in (1, 8)]
        return [one.prefix + one.suffix for one in texts]

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Give the model's tokenizer."""
        return self.chat.tokenizer

    @cached_property
    def ends(self) -> list[int]:
        """List the tokens that end a reply: the model's own settings name some, its tokenizer another."""
        configured = getattr(self.model.generation_config, "eos_token_id", None)
        listed = configured if isinstance(configured, list) else [] if configured is None else [configured]
        own = self.tokenizer.eos_token_id
        return list(dict.fromkeys([*listed, *([own] if isinstance(own, int) else [])]))

    @property
    def hidden(self) -> int:
        """Give the width of the input embeddings."""
        return int(embedding_of(self.model).weight.shape[1])

    @cached_property
    def unit(self) -> float:
        """Measure the standard deviation of one embedding coordinate over the vocabulary, at the module's output."""
        some = np.random.default_rng(0).choice(self.vocabulary, size=min(4096, len(self.vocabulary)), replace=False)
        return float(self.rows(some).std())

    @cached_property
    def vocabulary(self) -> Int[np.ndarray, "tokens"]:
        """List the ids of ordinary tokens: no control tokens, no unused rows."""
        n = min(len(self.tokenizer), embedding_of(self.model).weight.shape[0])
        return np.setdiff1d(np.arange(n), list(self.tokenizer.added_tokens_decoder))

    @torch.inference_mode()
    def rows(self, ids: Sequence[int] | Int[np.ndarray, "n"]) -> Float[np.ndarray, "n hidden"]:
        """Embed tokens through the embedding module (which may scale them), in float32."""
        index = torch.as_tensor(np.asarray(ids), device=input_device(self.model))
        return embedding_of(self.model)(index).float().cpu().numpy()

    def sequences(
        self, questionnaire: Questionnaire, slot: str, context: Context, *, bare: bool = False
    ) -> list[SlottedTokens]:
        """Encode every question up to where the label is read, formats outermost, with the slot in place.

        ``bare``: an ellipsis stands in every item's place. Raises ``UserError`` where the chat template has no place
        for the slot or the system message.
        """
        lead = [Turn("system", context.system)] if context.system else []
        out: list[SlottedTokens] = []
        for form in questionnaire.formats:
            for item in questionnaire.instrument.item_ids:
                turns = list(lead)
                for other, option in context.demonstrations.get(item, ()):
                    turns += _demonstration(questionnaire.instrument, other, form, option)
                turns.append(Turn("user", present(questionnaire.instrument, item, form, bare=bare).text))
                out.append(self.chat.encode(turns, slot))
        leads = [() if labels is None else labels.lead for labels in self._labels(questionnaire)]
        out = [SlottedTokens(one.prefix, one.suffix + lead) for one, lead in zip(out, leads, strict=True)]
        self.check_ids(max(max(one.prefix + one.suffix) for one in out))
        unknown = self.tokenizer.unk_token_id
        if unknown is not None and any(unknown in one.prefix + one.suffix for one in out):
            warnings.warn(
                "This model's tokenizer lacks some characters of the questionnaire and reads them as unknown; ask in a "
                "language that it was made for.",
                stacklevel=3,
            )
        return out

    def options(self, questionnaire: Questionnaire) -> Int[np.ndarray, "sequences options"]:
        """Give the token that begins the template's own reply with each label, in shown order; -1 beyond the last."""
        return self.option_tokens(questionnaire)[..., 0]

    def option_tokens(self, questionnaire: Questionnaire) -> Int[np.ndarray, "sequences options variants"]:
        """List all tokens by which a reply may begin with each label, the template's own first; -1 fills up.

        A reply may begin with the label alone or with a space before it, where the template leaves that open.
        """
        chosen = []
        for question, labels in zip(questionnaire.questions(), self._labels(questionnaire), strict=True):
            if labels is None:
                raise SettingError(
                    f"A format without labels is asked with {setting('answers', 'cloze')}; choose formats with labels, "
                    "like letters/options-first/0/en."
                )
            tokens = [token for ids in labels.ids[: len(question.labels)] for token in ids]
            if len(set(tokens)) < len(tokens):
                raise ModelError(
                    f"The labels {', '.join(question.labels)} begin with the same token for this model; "
                    "choose formats with other labels, like letters."
                )
            chosen.append(labels.ids[: len(question.labels)])
        shape = len(chosen), max(len(row) for row in chosen), max(len(ids) for row in chosen for ids in row)
        table = np.full(shape, -1, dtype=np.int64)
        for row, labels in zip(table, chosen, strict=True):
            for option, ids in zip(row, labels, strict=False):
                option[: len(ids)] = ids
        self.check_ids(int(table.max()))
        return table

    def _labels(self, questionnaire: Questionnaire) -> list[Labels | None]:
        """Encode how replies begin, per question: a format's longest scale decides for all its questions.

        None for questions without labelled options.
        """
        instrument = questionnaire.instrument
        out: list[Labels | None] = []
        for form in questionnaire.formats:
            if form.in_words:
                out += [None] * len(instrument.item_ids)
                continue
            scales = [present(instrument, item, form).labels for item in instrument.item_ids]
            out += [self.chat.labels(max(scales, key=len))] * len(scales)
        return out

    def check_ids(self, highest: int) -> None:
        """Refuse a token that the model has no embedding for; raises ``UserError``."""
        there = embedding_of(self.model).weight.shape[0]
        if highest >= there:
            raise ModelError(
                f"The tokenizer has the token '{self.tokenizer.convert_ids_to_tokens(int(highest))}' with the number "
                f"{highest}, but the model's embedding ends at {there - 1}: tokens were added without resizing the "
                "model; resize its embedding, or use the tokenizer that it was trained with."
            )

    @property
    def window(self) -> int | None:
        """Tell how many tokens the model reads at most; None where its configuration sets no limit."""
        config = self.model.config.get_text_config()
        limit = getattr(config, "max_position_embeddings", None) or getattr(config, "max_seq_len", None)  # MPT
        return int(limit) if limit else None

    def check_window(self, sequences: Sequence[SlottedTokens], more: int, what: str = "its soft prompt") -> None:
        """Refuse questions that are longer with ``more`` tokens than the model reads; raises ``UserError``."""
        longest = max(len(s) for s in sequences) + more
        if self.window is not None and longest > self.window:
            raise ModelError(
                f"A question is {longest} tokens long with {what}, but this model reads {self.window} at most."
            )


def _demonstration(instrument: Instrument, item: str, form: Format, option: int) -> list[Turn]:
    """Put a question and answer it with an option, by its label or, where there are no labels, its words."""
    shown = present(instrument, item, form)
    words = instrument.options(item, language=form.language, variant=form.variant)
    reply = words[option] if form.in_words else shown.labels[shown.shown.index(option)]
    return [Turn("user", shown.text), Turn("assistant", reply)]
