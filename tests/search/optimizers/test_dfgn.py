"""DFGN on a respondent that is its own model: logits linear in the candidate, "no answer" among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from acculturate.search.optimizers.dfgn import DFGN, GROW, LIFT, RATIO, ROUNDING, SHRINK
from acculturate.search.optimizers.dfgn_model import linearised, structured
from acculturate.search.optimizers.dfgn_parts import Parts
from acculturate.search.optimizers.dfgn_state import COMPARE, PROBE, TRIAL, DFGNState, corrected
from acculturate.search.optimizers.state import pack, unpack
from acculturate.survey.loss import Evaluation, Loss
from acculturate.survey.response import Response

FORMATS, ITEMS, OPTIONS, DIMS, DIM = 4, 6, 5, 3, 40
VIEWS = ((0, 1), (2, 3))


def _survey(**terms: object) -> Loss:
    rng = np.random.default_rng(0)
    values = np.tile(np.arange(1.0, OPTIONS + 1), (ITEMS, 1))
    target = np.array([90.0, np.nan, 10.0])
    weights = rng.normal(0, 30, (DIMS, ITEMS))
    survey = Loss(values, weights, 50.0 - weights @ np.full(ITEMS, 3.0), target, VIEWS)
    return replace(survey, **terms)  # type: ignore[arg-type]


class _Linear:
    """Logits of the options and of everything else; candidates that move the answers lose mass as well."""

    def __init__(self, survey: Loss, pull: float = 0.0) -> None:
        rng = np.random.default_rng(1)
        self.survey = survey
        self.weights = rng.normal(0, 0.3, (FORMATS, ITEMS, OPTIONS + 1, DIM))
        self.base = rng.normal(0, 0.5, (FORMATS, ITEMS, OPTIONS + 1))
        self.base[..., -1] -= 3.0
        self.weights[..., -1, :] += pull * self.weights[..., :-1, :].sum(axis=2)

    def response(self, x: np.ndarray) -> Response:
        logits = self.base + self.weights @ x
        total, among = (np.logaddexp.reduce(z, axis=-1) for z in (logits, logits[..., :-1]))
        return Response(logits[..., :-1] - among[..., None], np.exp(among - total))

    def __call__(self, x: np.ndarray) -> list[Evaluation]:
        return [self.survey.evaluate(self.response(one)) for one in x]


def _search(evaluate: _Linear, rounds: int = 12) -> Evaluation:
    optimizer = DFGN(evaluate.survey, h=8, mu=1.0)
    state = optimizer.init(np.zeros((2, DIM)), seed=0)
    for _ in range(rounds):
        x = optimizer.ask(state)
        state = optimizer.tell(state, x, evaluate(x))
    return evaluate(state.x[None])[0]


def _terms(untuned: Response) -> dict[str, object]:
    return {
        "anchor": 4.0,
        "reference": untuned.logprobs,
        "mass_penalty": 30.0,
        "reference_mass": untuned.mass,
        "consistency": 0.7,
        "response_style": 1.3,
        "style_weights": np.random.default_rng(7).normal(0, 20, _survey().weights.shape),
    }


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("anchor", "reference"),
        ("mass_penalty", "reference_mass"),
        ("consistency", "reference"),
        ("response_style", "style_weights", "reference"),
    ],
)
def test_the_models_loss_and_gradient_are_those_of_the_respondent(names) -> None:
    plain = _Linear(_survey())
    untuned = plain.response(np.zeros(DIM))
    terms = _terms(untuned)
    survey = replace(plain.survey, **{name: terms[name] for name in names})
    directions = np.random.default_rng(2).standard_normal((5, DIM))
    center = 0.2 * np.random.default_rng(3).standard_normal(DIM)
    # Exact slopes: the logits are linear, so the answers relative to their own sum are what has to be put in.
    step = 1e-5
    base = structured(plain.response(center))
    slopes = np.stack([
        (structured(plain.response(center + step * z)) - structured(plain.response(center - step * z))) / (2 * step)
        for z in directions
    ])  # fmt: skip
    at = linearised(survey, base, slopes, np.zeros(5))
    assert at.loss == pytest.approx(survey.evaluate(plain.response(center)).loss)
    gradient = at.jacobian.T @ np.sign(at.residuals) / len(VIEWS) + at.pull
    for k, z in enumerate(directions):
        ahead, behind = (survey.evaluate(plain.response(center + s * step * z)).loss for s in (1, -1))
        assert gradient[k] == pytest.approx((ahead - behind) / (2 * step), rel=1e-4, abs=1e-4)
    assert np.linalg.eigvalsh(at.curvature).min() > -1e-9
    if names:
        assert np.abs(at.pull).max() > 0.1 and at.curvature.max() > 0.1


def test_a_penalty_keeps_the_answer_mass_that_the_search_would_spend() -> None:
    free = _Linear(_survey(), pull=0.5)
    untuned = free.response(np.zeros(DIM))
    kept = _Linear(_survey(mass_penalty=30.0, reference_mass=untuned.mass), pull=0.5)
    spent, saved = _search(free), _search(kept)
    start = free.survey.evaluate(untuned).loss
    assert spent.loss < 0.05 * start and saved.terms["survey"] < 0.1 * start
    lost = {name: float(np.log(untuned.mass / one.response.mass).clip(0).mean()) for name, one in
            (("spent", spent), ("saved", saved))}  # fmt: skip
    assert lost["spent"] > 5 * lost["saved"]
    assert saved.loss == pytest.approx(saved.terms["survey"] + saved.terms["mass"])


def test_an_answer_that_is_certain_has_finite_odds() -> None:
    certain = Response(np.log(np.full((1, 1, 2), 0.5)), np.ones((1, 1)))
    never = Response(np.log(np.full((1, 1, 2), 0.5)), np.zeros((1, 1)))
    assert structured(certain)[..., -1].item() == pytest.approx(-16.1, abs=0.1)
    assert 80 < structured(never)[..., -1].item() < 90


class _Rounded:
    """A linear respondent whose answers come with an error of their own, as bfloat16's do."""

    def __init__(self, survey: Loss, error: float) -> None:
        self._exact, self._error = _Linear(survey), error
        self._rng = np.random.default_rng(7)

    def __call__(self, x: np.ndarray) -> list[Evaluation]:
        return [self._exact.survey.evaluate(self._off(self._exact.response(one))) for one in x]

    def _off(self, exact: Response) -> Response:
        logits = exact.logprobs + self._rng.normal(0, self._error, exact.logprobs.shape)
        return Response(logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True), exact.mass)


def _changed_by_a_move_of(length: float) -> tuple[np.ndarray, np.ndarray]:
    """What one trial of this length changes in the slopes; and what would make them reproduce the trial."""
    optimizer = DFGN(_survey(), h=8, scale=1.0, adapt=False)
    evaluate = _Rounded(_survey(), error=0.01)
    state = optimizer.init(np.zeros((1, DIM)), seed=0)
    for _ in range(2):
        x = optimizer.ask(state)
        state = optimizer.tell(state, x, evaluate(x))
    move = np.zeros((1, len(state.directions)))
    move[0, 0] = length
    tried = replace(state, coefficients=move)
    seen = evaluate(optimizer.ask(tried))
    return tuple(s - tried.slopes for s in (optimizer.tell(tried, optimizer.ask(tried), seen).slopes,
                                            corrected(tried, move, seen).slopes))  # fmt: skip


def test_a_tiny_move_does_not_turn_rounding_into_slopes() -> None:
    learned, believed = _changed_by_a_move_of(1e-3)
    assert np.abs(believed).max() > 5.0
    assert np.abs(learned).max() < 0.01
    assert np.allclose(*_changed_by_a_move_of(20.0), rtol=2e-3, atol=1e-6)


def test_what_is_older_counts_for_less_but_says_the_same() -> None:
    survey = _survey()
    evaluate = _Linear(survey)
    kept, faded = (DFGN(survey, h=8, mu=1.0, fade=fade) for fade in (1.0, 0.5))
    states = []
    for optimizer in (kept, faded):
        state = optimizer.init(np.zeros((2, DIM)), seed=0)
        for _ in range(4):
            x = optimizer.ask(state)
            state = optimizer.tell(state, x, evaluate(x))
        states.append(state)
    lengths = [np.linalg.norm(state.directions, axis=1) for state in states]
    assert lengths[1][8:] == pytest.approx(lengths[0][8:] / 2)
    assert lengths[1][:8] == pytest.approx(lengths[0][:8])


def _after(generations: int, optimizer: DFGN, evaluate: Callable[[np.ndarray], list[Evaluation]]) -> DFGNState:
    """The state after so many generations from the origin."""
    state = optimizer.init(np.zeros((1, DIM)), seed=0)
    for _ in range(generations):
        x = optimizer.ask(state)
        state = optimizer.tell(state, x, evaluate(x))
    return state


class _Bent:
    """A respondent whose every coordinate but the first few only takes answers away, with its square."""

    def __init__(self, survey: Loss, bend: float) -> None:
        self._straight, self._bend = _Linear(survey), bend

    def __call__(self, x: np.ndarray) -> list[Evaluation]:
        return [self._one(one) for one in x]

    def _one(self, x: np.ndarray) -> Evaluation:
        answered = self._straight.response(x)
        total = np.full(answered.mass.shape, np.exp(-self._bend * np.sum(x**2)))
        return self._straight.survey.evaluate(Response(answered.logprobs, answered.mass * total))


@pytest.mark.parametrize(("bend", "shorter"), [(0.5, True), (0.0, False)])
def test_probes_shorten_where_the_landscape_bends_and_reach_out_where_it_is_flat(bend, shorter) -> None:
    untuned = _Linear(_survey()).response(np.zeros(DIM))
    survey = _survey(mass_penalty=30.0, reference_mass=untuned.mass)
    evaluate = _Bent(survey, bend)
    optimizer = DFGN(survey, h=8, scale=0.5 if shorter else 1e-4)
    state = optimizer.init(np.zeros((1, DIM)), seed=0)
    for _ in range(2):
        x = optimizer.ask(state)
        state = optimizer.tell(state, x, evaluate(x))
    lift = float(np.median([one.loss for one in evaluate(x)])) / state.center_loss - 1.0
    if shorter:
        assert lift > LIFT and state.scale == pytest.approx(0.5 / SHRINK)
    else:
        assert lift < LIFT and state.scale == pytest.approx(1e-4 * GROW)


@pytest.mark.parametrize(("higher", "moves"), [(0.5 * ROUNDING, True), (2.0 * ROUNDING, False)])
def test_a_trial_that_is_as_good_but_for_rounding_becomes_the_center(higher, moves) -> None:
    survey = _survey()
    evaluate = _Linear(survey)
    optimizer = DFGN(survey, h=8)
    state = _after(2, optimizer, evaluate)
    x = optimizer.ask(state)
    seen = [replace(one, loss=(1.0 + higher) * state.loss) for one in evaluate(x)]
    after = optimizer.tell(state, x, seen)
    assert after.loss == state.loss and np.array_equal(after.x, state.x)
    assert np.array_equal(after.center, x[0] if moves else state.x)


def test_slopes_do_not_see_a_lucky_center() -> None:
    """Answers of the center that are off by rounding change the model's base, and none of its slopes."""
    survey = _survey()
    evaluate = _Linear(survey)
    optimizer = DFGN(survey, h=8, scale=0.1)
    state = _after(1, optimizer, evaluate)
    lucky = replace(state, center_answers=state.center_answers + 0.3)
    x = optimizer.ask(state)
    seen = evaluate(x)
    told, told_lucky = (optimizer.tell(one, x, seen) for one in (state, lucky))
    assert np.array_equal(told.slopes, told_lucky.slopes)
    # What a move along the directions does is what the slopes say it does.
    c = np.random.default_rng(0).standard_normal(8)
    (moved,) = evaluate((state.center + c @ told.directions)[None])
    predicted = state.center_answers + np.tensordot(c, told.slopes, axes=1)
    found = structured(moved.response)
    assert np.allclose(predicted[..., :-1] - np.logaddexp.reduce(predicted[..., :-1], axis=-1, keepdims=True),
                       found[..., :-1], atol=1e-6)  # fmt: skip


def test_a_probe_without_an_answer_takes_nothing_from_the_others() -> None:
    survey = _survey()
    evaluate = _Linear(survey)
    optimizer = DFGN(survey, h=8)
    state = _after(1, optimizer, evaluate)
    x = optimizer.ask(state)
    seen = evaluate(x)
    nothing = replace(seen[3].response, logprobs=np.full_like(seen[3].response.logprobs, np.nan))
    seen[3] = replace(seen[3], loss=np.nan, response=nothing)
    after = optimizer.tell(state, x, seen)
    assert not after.slopes[3, ..., :-1].any()
    assert np.abs(np.delete(after.slopes, 3, axis=0)).sum(axis=(1, 2, 3)).min() > 0
    assert np.isfinite(after.slopes).all() and np.isfinite(after.directions).all()


@pytest.mark.parametrize(
    ("losses", "factor"), [((1.0, 1.0, 1.0, 1.0), RATIO**-2), ((2.0, 1.0, 1.001, 1.002), RATIO**-1)]
)
def test_among_equal_trials_the_boldest_sets_the_damping(losses, factor) -> None:
    survey = _survey()
    evaluate = _Linear(survey)
    optimizer = DFGN(survey, h=8)
    state = _after(2, optimizer, evaluate)
    x = optimizer.ask(state)
    seen = [replace(one, loss=share * state.center_loss) for one, share in zip(evaluate(x), losses, strict=True)]
    assert optimizer.tell(state, x, seen).mu == pytest.approx(factor * state.mu)


class _Plains:
    """A respondent whose answers follow the candidate in one half of the space and hardly do in the other."""

    def __init__(self, survey: Loss, flat: float) -> None:
        self._exact, self._flat = _Linear(survey), flat

    def __call__(self, x: np.ndarray) -> list[Evaluation]:
        survey = self._exact.survey
        return [survey.evaluate(self._exact.response(one * (self._flat if one[0] < 0 else 1.0))) for one in x]


def _starts() -> np.ndarray:
    """Two members in the flat half, one in the other; nothing but the first coordinate tells them apart."""
    start = np.zeros((3, DIM))
    start[:, 0] = [-1e-3, 1e-3, -2e-3]
    return start


@pytest.mark.parametrize("options", [{}, {"central": True}, {"parts": Parts(DIM // 2, 2)}], ids=str)
@pytest.mark.parametrize(("flat", "center"), [(0.01, 1), (1.0, 0)])
def test_the_lowest_of_the_starts_that_lead_far_becomes_the_center(flat, center, options) -> None:
    survey = _survey()
    evaluate, start = _Plains(survey, flat), _starts()
    optimizer = DFGN(survey, h=8, scale=1e-4, **options)
    state = optimizer.init(start, seed=0)
    seen = evaluate(optimizer.ask(state))
    seen[0] = replace(seen[0], loss=0.97 * seen[0].loss)
    state = optimizer.tell(state, optimizer.ask(state), seen)
    assert state.phase == COMPARE and len(state.rivals) == 3
    assert np.array_equal(state.x, start[0]), "whatever is chosen, the best so far stays the best"
    state = unpack(DFGNState, *pack(state))
    x = optimizer.ask(state)
    probes = 16 if "central" in options else 8
    assert x.shape == (3 * probes, DIM)
    offsets = x.reshape(3, probes, DIM) - state.rivals[:, None]
    assert np.allclose(offsets, offsets[0]), "all in the same directions"
    state = optimizer.tell(state, x, evaluate(x))
    assert state.phase == TRIAL and not len(state.rivals)
    assert np.array_equal(state.center, start[center])
    # Its probes are the first of the model: what they say of a small move is what the move does.
    move = 1e-3 * np.eye(len(state.directions))[0]
    (moved,) = evaluate((state.center + move @ state.directions)[None])
    predicted = state.center_answers + np.tensordot(move, state.slopes, axes=1)
    changed = slice(None, FORMATS // 2) if "parts" in options else slice(None)
    assert np.allclose(structured(moved.response)[changed, :, -1], predicted[changed, :, -1], atol=1e-4)


def test_starts_whose_probes_all_fail_are_not_chosen() -> None:
    survey = _survey()
    evaluate = _Linear(survey)
    optimizer = DFGN(survey, h=8)
    state = optimizer.init(np.stack([np.zeros(DIM), np.full(DIM, 1e-3)]), seed=0)
    state = optimizer.tell(state, optimizer.ask(state), evaluate(optimizer.ask(state)))
    assert state.phase == COMPARE
    x = optimizer.ask(state)
    seen = evaluate(x)
    lost = [replace(one, loss=np.nan, response=replace(one.response, logprobs=one.response.logprobs * np.nan))
            for one in seen]  # fmt: skip
    some = optimizer.tell(state, x, [*lost[:8], *seen[8:]])
    assert np.array_equal(some.center, state.rivals[1])
    none = optimizer.tell(state, x, lost)
    assert np.array_equal(none.center, state.rivals[0]) and np.isfinite(none.coefficients).all()


@pytest.mark.parametrize(
    ("options", "second", "compared"),
    [
        ({}, 1.0 + 0.5 * ROUNDING, 2),
        ({}, 1.0 + 2.0 * ROUNDING, 0),  # too far behind to be worth the probes
        ({"starts": 1}, 1.0, 0),
        ({"budget": 159}, 1.0, 0),  # a tenth of it is less than two rounds of probes
        ({"budget": 160}, 1.0, 2),
        ({"budget": 160, "central": True}, 1.0, 0),
    ],
)
def test_starts_are_compared_where_several_are_near_and_the_budget_allows_it(options, second, compared) -> None:
    survey = _survey()
    evaluate = _Linear(survey)
    optimizer = DFGN(survey, h=8, **options)
    state = optimizer.init(np.zeros((2, DIM)), seed=0)
    first, other = evaluate(optimizer.ask(state))
    seen = [first, replace(other, loss=second * first.loss)]
    state = optimizer.tell(state, optimizer.ask(state), seen)
    assert len(state.rivals) == compared
    assert state.phase == (COMPARE if compared else PROBE)


def test_what_a_start_paid_for_lost_answers_is_no_promise() -> None:
    """A start that has lost mass, and whose probes win back nothing else."""
    untuned = _Linear(_survey()).response(np.zeros(DIM))
    survey = _survey(mass_penalty=30.0, reference_mass=untuned.mass)
    optimizer = DFGN(survey, h=8, mu=1.0)
    state = _after(2, optimizer, _Linear(survey))
    answers = state.center_answers.copy()
    answers[..., -1] += 2.0
    slopes = state.slopes.copy()
    slopes[..., :-1] = 0.0
    assert optimizer._promise(replace(state, center_answers=answers, slopes=slopes)) == pytest.approx(0.0)
    assert optimizer._promise(state) > 1.0
