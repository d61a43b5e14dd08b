"""One reply token by token: its text, its log-probabilities, its draws, and every way in which it ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from architectures import small_questionnaire, tiny_model_dir, tiny_tokenizer
from tokenizers_of_families import sentencepiece

from acculturate.errors import UserError
from acculturate.model.choice import ModelChoice
from acculturate.model.fluency import replies
from acculturate.model.interview import Interview
from acculturate.model.reply import (
    Decoding,
    Ending,
    Piece,
    Reply,
    WrittenText,
    conversation,
    token_text,
    write_reply,
)
from acculturate.model.respondent import Context, Respondent
from acculturate.model.slot import Slot
from acculturate.model.soft_prompt import SoftPrompt
from acculturate.model.template import Turn


@pytest.fixture(scope="module", params=["llama", "qwen2", "gemma3"])
def respondent(request, tmp_path_factory) -> Respondent:
    return Respondent(ModelChoice(str(tiny_model_dir(tmp_path_factory, request.param)), dtype="float32"))


def prompt_of(respondent: Respondent, slot: str) -> SoftPrompt:
    vectors = np.random.default_rng(7).normal(size=(3, respondent.hidden)) * 3 * respondent.unit
    return SoftPrompt(vectors.astype(np.float32), slot, dict(respondent.identity))


def written(respondent, prompt, how, *, text="Hello", seed=0, each=lambda _: True) -> Reply:
    sequence = conversation(respondent, [Turn("user", text)], prompt)
    return write_reply(respondent, sequence, prompt, how, np.random.default_rng(seed), each)


@pytest.mark.parametrize("slot", Slot)
def test_a_greedy_reply_is_the_one_that_a_run_reads(respondent, slot) -> None:
    prompt = prompt_of(respondent, slot)
    pieces: list[Piece] = []
    reply = written(respondent, prompt, Decoding(0.0, max_tokens=12), each=lambda one: not pieces.append(one))
    assert reply.text == replies(respondent, ["Hello"], prompt, tokens=12)[0]
    assert "".join(piece.text for piece in pieces) == reply.text
    assert [piece.token for piece in pieces if piece.token] == list(reply.tokens)
    untuned = written(respondent, None, Decoding(0.0, max_tokens=12))
    assert untuned.text == replies(respondent, ["Hello"], tokens=12)[0] != reply.text


@pytest.mark.parametrize("slot", Slot)
def test_the_logprobs_of_labels_are_those_of_the_engine(respondent, slot, monkeypatch) -> None:
    monkeypatch.setattr("acculturate.model.reply.ALTERNATIVES", 1000)  # the labels of a random model are not likely
    prompt, asked = prompt_of(respondent, slot), small_questionnaire()
    response = Interview(respondent, asked, slot=slot, n_tokens=3).ask(prompt.vectors)
    sequences = respondent.sequences(asked, slot, Context())
    options = respondent.options(asked)
    log_mass = np.log(response.mass).reshape(-1)
    questions = asked.questions()
    for k, sequence in enumerate(sequences):
        how = Decoding(0.0, max_tokens=1, alternatives=1000)
        token = write_reply(respondent, sequence, prompt, how, np.random.default_rng(0)).tokens[0]
        assert token.alternatives[0] == (token.id, token.logprob)
        listed = dict(token.alternatives)
        shown = response.logprobs.reshape(len(sequences), -1)[k][list(questions[k].shown)]
        for option, logprob in zip(options[k], shown, strict=True):
            assert listed[int(option)] == pytest.approx(logprob + log_mass[k], abs=1e-4)


def test_equal_seeds_draw_equal_replies_and_the_prompt_changes_them(respondent) -> None:
    prompt, how = prompt_of(respondent, Slot.SYSTEM), Decoding(1.5, 0.9, 16)
    one, two, other = (written(respondent, prompt, how, seed=seed) for seed in (1, 1, 2))
    assert one == two != other
    assert one != written(respondent, None, how, seed=1)


def test_a_stop_text_ends_a_reply_and_is_no_part_of_it(respondent) -> None:
    whole = written(respondent, None, Decoding(0.0, max_tokens=24)).text
    stop = whole[6:9]
    pieces: list[str] = []
    how = Decoding(0.0, max_tokens=24, stop=(stop, "never said"))
    reply = written(respondent, None, how, each=lambda piece: not pieces.append(piece.text))
    assert reply.text == "".join(pieces) == whole[: whole.index(stop)]
    assert reply.ending is Ending.STOP


def test_a_reply_ends_where_it_is_cut_where_it_says_and_where_nobody_listens(respondent, monkeypatch) -> None:
    assert written(respondent, None, Decoding(0.0, max_tokens=3)).ending is Ending.LENGTH
    left = written(respondent, None, Decoding(0.0, max_tokens=30), each=lambda _: False)
    assert left.ending is Ending.CANCELLED
    assert len(left.tokens) == 1
    third = written(respondent, None, Decoding(0.0, max_tokens=3)).tokens[-1].id
    monkeypatch.setitem(vars(respondent), "ends", [third])
    ended = written(respondent, None, Decoding(0.0, max_tokens=30, alternatives=0))
    assert ended.ending is Ending.STOP
    assert ended.tokens[-1].id == third
    assert ended.text == respondent.tokenizer.decode([token.id for token in ended.tokens[:-1]])


def test_text_comes_in_whole_characters_and_without_the_beginning_of_a_stop_text() -> None:
    tokenizer = tiny_tokenizer()
    text = "naïve 日本 🙂 end"
    ids = tokenizer.encode(text, add_special_tokens=False)
    out = WrittenText(tokenizer)
    pieces = [out.add(token) for token in ids]
    assert "".join(pieces) + out.finish() == out.text == text
    assert not any("\ufffd" in piece for piece in pieces)
    assert "" in pieces
    out = WrittenText(tokenizer, ["en!", "🙂 x"])
    assert "".join(out.add(token) for token in ids) == text
    half = WrittenText(tokenizer)
    assert half.add(ids[2]) + half.finish() != ""


def test_a_held_back_end_is_said_once_nothing_follows() -> None:
    tokenizer = tiny_tokenizer()
    out = WrittenText(tokenizer, ["\nUser:"])
    pieces = [out.add(token) for token in tokenizer.encode("yes\nUs", add_special_tokens=False)]
    assert "".join(pieces) == "yes"
    assert out.finish() == "\nUs"


def test_a_token_is_written_with_its_space() -> None:
    tokenizer = sentencepiece(legacy=True)
    with_space = tokenizer.convert_tokens_to_ids("▁A")
    assert token_text(tokenizer, with_space) == " A"
    assert token_text(tokenizer, tokenizer.convert_tokens_to_ids("A")) == "A"
    assert token_text(tiny_tokenizer(), tiny_tokenizer().eos_token_id) == "<|im_end|>"


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": 2.1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"max_tokens": 0},
        {"stop": ("",)},
        {"alternatives": 101},
    ],
)
def test_a_decoding_that_cannot_be_is_refused(wrong) -> None:
    with pytest.raises(UserError):
        Decoding(**wrong)


def test_what_does_not_fit_the_window_is_refused(respondent) -> None:
    with pytest.raises(UserError, match="reads 1024 at most"):
        written(respondent, None, Decoding(max_tokens=1024))


@torch.inference_mode()
def test_an_interrupted_reply_leaves_the_model_as_it_was(respondent) -> None:
    def interrupt(_: Piece) -> bool:
        raise KeyboardInterrupt

    settings = respondent.model.generation_config
    with pytest.raises(KeyboardInterrupt):
        written(respondent, None, Decoding(0.0), each=interrupt)
    assert respondent.model.generation_config is settings
