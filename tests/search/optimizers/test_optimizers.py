"""Every optimizer behind the seam: exact resumption, purity, quality, robustness, refusals."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from acculturate.errors import UserError
from acculturate.search.optimizers.adaptive import draw_factor, draw_rate, improvements, lehmer, mutants
from acculturate.search.optimizers.cma import CMAES, SepCMA
from acculturate.search.optimizers.de import DE
from acculturate.search.optimizers.jade import JADE
from acculturate.search.optimizers.jso import JSO
from acculturate.search.optimizers.lshade import LSHADE
from acculturate.search.optimizers.openai_es import OpenAIES
from acculturate.search.optimizers.protocol import generator
from acculturate.search.optimizers.pso import PSO
from acculturate.search.optimizers.random_search import RandomSearch
from acculturate.search.optimizers.shade import SHADE
from acculturate.search.optimizers.state import pack, unpack
from acculturate.search.optimizers.variation import among_best, binomial, exponential, partners
from acculturate.survey.loss import Evaluation
from acculturate.survey.response import Response

_SPEC = importlib.util.spec_from_file_location(
    "bench_optimizers", Path(__file__).parents[3] / "benchmarks" / "bench_optimizers.py"
)
assert _SPEC is not None and _SPEC.loader is not None
bench = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(bench)

FUNCTIONS = {f.__name__: f for f in (bench.sphere, bench.rosenbrock, bench.rastrigin, bench.ackley)}
sphere, rosenbrock = bench.sphere, bench.rosenbrock
RESPONSE = Response(np.zeros((1, 1, 1)), np.ones((1, 1)))


BLANK = Evaluation(RESPONSE, np.zeros((1, 1)), 0.0)


def seen(losses: Any) -> list[Evaluation]:
    evaluations = []
    for loss in losses:
        # Shape checks of thousands of constructor calls would be most of this file's time.
        evaluation = object.__new__(Evaluation)
        evaluation.__dict__.update(BLANK.__dict__, loss=float(loss))
        evaluations.append(evaluation)
    return evaluations


OPTIMIZERS: dict[str, Any] = {
    "de-rand1": DE(),
    "de-rand1-exp": DE(crossover="exponential", CR=0.9),
    "de-best1-dither": DE(strategy="best/1", F=(0.5, 1.0)),
    "de-rand2": DE(strategy="rand/2"),
    "de-ctb": DE(strategy="current-to-best/1"),
    "de-ctpb": DE(strategy="current-to-pbest/1"),
    "jade": JADE(),
    "shade": SHADE(H=7),
    "l-shade": LSHADE(budget=120),
    "jso": JSO(budget=120),
    "pso": PSO(),
    "pso-ring": PSO(topology="ring"),
    "openai-es": OpenAIES(),
    "cma-es": CMAES(),
    "sep-cma": SepCMA(population=9),
    "random": RandomSearch(),
    "random-sigma": RandomSearch(sigma=0.5),
}
GREEDY = [name for name in OPTIMIZERS if name.split("-")[0] in {"de", "jade", "shade", "l", "jso", "pso"}]


def start_of(pop: int, dim: int, seed: int = 0, width: float = 5.0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-width, width, (pop, dim))


def advance(optimizer: Any, state: Any, generations: int, f: Callable[[np.ndarray], np.ndarray]) -> Any:
    for _ in range(generations):
        x = optimizer.ask(state)
        state = optimizer.tell(state, x, seen(f(x)))
    return state


def through_json(state: Any) -> Any:
    arrays, scalars = pack(state)
    assert all(array.flags.c_contiguous for array in arrays.values())
    return unpack(type(state), arrays, json.loads(json.dumps(scalars, allow_nan=False)))


def assert_same(a: Any, b: Any) -> None:
    for field in fields(a):
        left, right = getattr(a, field.name), getattr(b, field.name)
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype and left.shape == right.shape, field.name
            assert left.tobytes() == right.tobytes(), field.name
        else:
            assert type(left) is type(right) and (left == right or left != left), field.name


def ragged(x: np.ndarray) -> np.ndarray:
    """Rosenbrock with failures: an infinite and a NaN loss for some candidates."""
    loss = rosenbrock(x)
    loss[x[:, 0] > 3] = np.inf
    loss[x[:, 1] > 4] = np.nan
    return loss


# ---------------------------------------------------------------- resumption and purity


@pytest.mark.parametrize("dim", [2, 10, 5000])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_resuming_from_a_checkpoint_changes_nothing(name: str, dim: int) -> None:
    if dim == 5000 and name == "cma-es":
        pytest.skip("full CMA-ES refuses 5000 coordinates")
    optimizer = OPTIMIZERS[name]
    first = optimizer.init(start_of(12, dim), 7)
    whole = advance(optimizer, first, 10, ragged)
    half = through_json(advance(optimizer, through_json(first), 5, ragged))
    resumed = advance(optimizer, half, 5, ragged)
    assert whole.generation == 10 and whole.seed == 7
    assert_same(whole, resumed)
    assert optimizer.ask(whole).tobytes() == optimizer.ask(resumed).tobytes()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_ask_is_pure_and_tell_leaves_its_state_alone(name: str) -> None:
    optimizer = OPTIMIZERS[name]
    state = advance(optimizer, optimizer.init(start_of(10, 4), 3), 3, ragged)
    before = through_json(state)
    x = optimizer.ask(state)
    again = optimizer.ask(state)
    assert x.tobytes() == again.tobytes()
    told = optimizer.tell(state, x, seen(ragged(x)))
    assert_same(state, before)
    x[:] = np.nan  # what the caller does to its array must not reach the state
    assert_same(told, optimizer.tell(state, again, seen(ragged(again))))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_first_generation_is_the_start(name: str) -> None:
    optimizer, start = OPTIMIZERS[name], start_of(11, 3)
    state = optimizer.init(start, 0)
    assert np.array_equal(optimizer.ask(state), start)
    optimizer.ask(state)[:] = 0
    assert np.array_equal(optimizer.ask(state), start)
    assert optimizer.ask(optimizer.init(start.astype(np.float32), 0)).dtype == np.float64


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_seeds_and_generations_differ(name: str) -> None:
    optimizer, start = OPTIMIZERS[name], start_of(10, 4)
    a, b = (advance(optimizer, optimizer.init(start, seed), 1, sphere) for seed in (1, 2))
    assert not np.array_equal(optimizer.ask(a), optimizer.ask(b))
    assert not np.array_equal(optimizer.ask(a), optimizer.ask(advance(optimizer, a, 1, sphere)))


def test_packing_keeps_what_json_cannot() -> None:
    @dataclass(frozen=True, eq=False)
    class Odd:
        seed: int
        generation: int
        a: float
        b: float
        c: str | None
        d: bool
        e: np.ndarray
        f: float

    odd = Odd(1, 2, math.nan, -math.inf, None, True, np.array([[math.nan, -0.0], [5e-324, math.inf]]).T, 0.1)
    back = through_json(odd)
    assert math.isnan(back.a) and back.b == -math.inf and back.c is None and back.d is True and back.f == 0.1
    assert np.array_equal(back.e, odd.e, equal_nan=True) and np.signbit(back.e[1, 0])
    with pytest.raises(TypeError, match="e cannot be stored"):
        pack(replace(odd, e=np.array(["x"])))
    arrays, scalars = pack(odd)
    with pytest.raises(UserError, match="does not fit Odd"):
        unpack(Odd, arrays, {**scalars, "g": 1})
    with pytest.raises(UserError, match="seed"):
        unpack(Odd, arrays, {k: v for k, v in scalars.items() if k != "seed"})


# ---------------------------------------------------------------- building blocks


@given(pop=st.integers(6, 30), seed=st.integers(0, 2**32))
def test_partners_are_distinct(pop: int, seed: int) -> None:
    r = partners(np.random.default_rng(seed), pop, 5)
    everyone = np.vstack([np.arange(pop), r])
    assert all(len(set(column)) == 6 for column in everyone.T)


def test_partners_are_uniform() -> None:
    rng = np.random.default_rng(0)
    counts = np.zeros((5, 5))
    for _ in range(4000):
        counts[np.arange(5), partners(rng, 5, 3)[1]] += 1
    assert np.all(np.diag(counts) == 0)
    off = counts[~np.eye(5, dtype=bool)]
    assert np.all(np.abs(off - 1000) < 5 * math.sqrt(750))


def test_binomial_crossover_takes_one_coordinate_at_least_and_cr_on_average() -> None:
    rng = np.random.default_rng(0)
    assert np.all(binomial(rng, np.zeros(50), 7).sum(axis=1) == 1)
    assert binomial(rng, np.ones(5), 7).all()
    share = binomial(rng, np.full(4000, 0.3), 10).mean()
    assert share == pytest.approx(0.3 + 0.7 / 10, abs=0.01)


def test_exponential_crossover_takes_a_wrapped_run_of_geometric_length() -> None:
    rng = np.random.default_rng(0)
    take = exponential(rng, np.full(6000, 0.5), 8)
    lengths = take.sum(axis=1)
    # A run on a ring has one rising edge, unless it fills the ring.
    edges = np.sum(take & ~np.roll(take, 1, axis=1), axis=1)
    assert np.all((edges == 1) | (lengths == 8))
    for k in (2, 3, 4):
        assert np.mean(lengths >= k) == pytest.approx(0.5 ** (k - 1), abs=0.02)
    assert exponential(rng, np.ones(3), 8).all()
    assert np.all(exponential(rng, np.zeros(9), 8).sum(axis=1) == 1)


@given(pop=st.integers(2, 20), top=st.integers(1, 25), seed=st.integers(0, 999))
def test_p_best_is_among_the_best_and_apart_when_asked(pop: int, top: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    loss = rng.permutation(pop).astype(float)
    chosen = among_best(rng, loss, np.full(pop, top))
    assert np.all(loss[chosen] < min(top, pop))
    apart = among_best(rng, loss, np.full(pop, top), apart=True)
    assert np.all(loss[apart] < max(2, min(top, pop))) and np.all(apart != np.arange(pop))


def test_mutant_partners_come_evenly_from_population_and_archive() -> None:
    # One-hot rows tell who took part: the mutant is x + F (x_r1 - x_r2) when F_w is 0.
    pop, archived = 4, 3
    rows = np.eye(pop + archived)
    optimizer = JADE()
    state = replace(optimizer.init(rows[:pop], 0), generation=1, loss=np.arange(4.0), archive=rows[pop:])
    taken = np.zeros((pop, pop + archived))
    rng, one, zero = np.random.default_rng(0), np.ones(pop), np.zeros(pop)
    for _ in range(1500):
        step = mutants(rng, state, F=one, F_w=zero, top=np.ones(pop, dtype=int)) - rows[:pop]
        assert np.all(step.max(axis=1) == 1) and np.all(step.min(axis=1) == -1)
        assert np.all(np.argmax(step, axis=1) < pop)
        taken += step == -1
    assert np.all(taken[np.arange(pop), np.arange(pop)] == 0)
    # r2 is one of five rows, neither i nor r1: each archived one in a fifth of the draws.
    assert taken[:, pop:] / 1500 == pytest.approx(np.full((pop, archived), 0.2), abs=0.05)


def test_parameter_draws_stay_in_range() -> None:
    rng = np.random.default_rng(0)
    F = draw_factor(rng, np.full(20000, 0.05))
    assert F.min() > 0 and F.max() == 1.0
    CR = draw_rate(rng, np.array([0.0] * 5000 + [math.nan] * 10 + [1.0] * 5000))
    assert CR.min() == 0.0 and CR.max() == 1.0 and np.all(CR[5000:5010] == 0)


def test_means_by_hand() -> None:
    assert lehmer(np.array([0.2, 0.4]), np.ones(2)) == pytest.approx(0.2 / 0.6)
    assert lehmer(np.array([0.2, 0.4]), np.array([3.0, 1.0])) == pytest.approx((0.12 + 0.16) / (0.6 + 0.4))
    assert lehmer(np.zeros(2), np.ones(2)) == 0.0
    success, gain = improvements(np.array([np.inf, 3.0, 2.0, np.inf]), np.array([1.0, 1.0, 2.0, np.inf]))
    assert success.tolist() == [True, True, False, False] and gain.tolist() == [2.0, 2.0]


def test_jade_adapts_by_hand() -> None:
    optimizer = JADE()
    state = advance(optimizer, optimizer.init(start_of(6, 3), 5), 1, sphere)
    x = optimizer.ask(state)
    better = np.array([True, False, True, False, False, False])
    told = optimizer.tell(state, x, seen(np.where(better, state.loss / 2, state.loss)))
    F, CR = optimizer._draw(state, generator(5, 1).spawn(3)[0])
    assert told.mu_f == pytest.approx(0.9 * 0.5 + 0.1 * (F[better] ** 2).sum() / F[better].sum())
    assert told.mu_cr == pytest.approx(0.9 * 0.5 + 0.1 * CR[better].mean())
    assert np.array_equal(told.archive, state.x[better]) and np.array_equal(told.x[better], x[better])
    assert np.array_equal(told.x[~better], state.x[~better])


def test_lshade_shrinks_linearly_and_stays_at_four() -> None:
    for optimizer in (LSHADE(budget=400), JSO(budget=400)):
        state = optimizer.init(start_of(20, 3), 0)
        while state.nfe < 600:
            state = advance(optimizer, state, 1, sphere)
            if state.generation > 1:
                wanted = max(4, round(20 - 16 * min(1, state.nfe / 400)))
                assert len(state.x) == wanted
                assert len(state.archive) <= round(optimizer.archive_rate * wanted)
        assert len(state.x) == 4


def test_lshade_memory_terminal_value_lasts() -> None:
    optimizer = LSHADE(budget=1000, H=1)
    state = advance(optimizer, optimizer.init(start_of(8, 3), 1), 1, sphere)
    state = replace(state, M_CR=np.array([np.nan]))
    state = advance(optimizer, state, 5, sphere)
    assert np.isnan(state.M_CR[0])
    changed = optimizer.ask(state) != state.x
    assert np.all(changed.sum(axis=1) <= 1)  # CR = 0 moves a single coordinate


def test_jso_memory_keeps_its_last_entry() -> None:
    optimizer = JSO(budget=10_000)
    state = advance(optimizer, optimizer.init(start_of(20, 5), 1), 30, sphere)
    assert state.M_F[-1] == state.M_CR[-1] == 0.9
    assert np.all(state.M_F[:-1] != 0.3)
    F, CR = optimizer._draw(state, np.random.default_rng(0))
    assert F.max() <= 0.7 and CR.min() >= 0.7


def test_pso_constriction_coefficient() -> None:
    assert PSO().chi == pytest.approx(0.7298437881)


def test_openai_es_steps_by_hand() -> None:
    optimizer = OpenAIES(sigma=0.5, learning_rate=0.1, population=4)
    state = advance(optimizer, optimizer.init(start_of(3, 2), 9), 1, sphere)
    x = optimizer.ask(state)
    assert x[:2] + x[2:] == pytest.approx(np.tile(2 * state.theta, (2, 1)))
    told = optimizer.tell(state, x, seen([4.0, 1.0, 2.0, 3.0]))
    eps = (x[:2] - state.theta) / 0.5
    # Centred ranks are 1/2, -1/2, -1/6, 1/6: mirrored differences 2/3 and -2/3.
    g = (2 / 3 * eps[0] - 2 / 3 * eps[1]) / (4 * 0.5)
    assert told.m == pytest.approx(0.1 * g) and told.v == pytest.approx(0.001 * g * g)
    assert told.theta == pytest.approx(state.theta - 0.1 * g / (np.abs(g) + 1e-8))
    still = optimizer.tell(state, x, seen([np.inf] * 4))
    assert np.array_equal(still.theta, state.theta)


def test_cma_follows_the_package() -> None:
    import cmaes

    for ours, theirs in ((CMAES(sigma=0.7), cmaes.CMA), (SepCMA(sigma=0.7), cmaes.SepCMA)):
        start = start_of(8, 5)
        state = advance(ours, ours.init(start, 2), 1, sphere)
        reference = theirs(mean=start[np.argmin(sphere(start))].copy(), sigma=0.7, population_size=8)
        for _ in range(12):
            x = ours.ask(state)
            reference.tell(list(zip(x, rosenbrock(x).tolist(), strict=True)))
            state = ours.tell(state, x, seen(rosenbrock(x)))
            assert state.mean == pytest.approx(reference._mean, rel=1e-9)
            assert state.sigma == pytest.approx(reference._sigma, rel=1e-9)
            assert pytest.approx(reference._C, rel=1e-7, abs=1e-12) == state.C


def test_cma_samples_have_the_covariance_of_the_state() -> None:
    C = np.array([[4.0, 1.5], [1.5, 1.0]])
    optimizer = CMAES(population=20000)
    state = advance(optimizer, optimizer.init(start_of(4, 2), 0), 1, sphere)
    x = optimizer.ask(replace(state, C=C, sigma=0.5))
    assert np.cov(x.T) == pytest.approx(0.25 * C, abs=0.03)
    sep = SepCMA(population=20000)
    state = advance(sep, sep.init(start_of(4, 2), 0), 1, sphere)
    x = sep.ask(replace(state, C=np.array([4.0, 0.25]), sigma=0.5))
    assert x.std(axis=0) == pytest.approx([1.0, 0.25], rel=0.03)


# ---------------------------------------------------------------- properties


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 2**31),
    pop=st.integers(6, 14),
    dim=st.integers(2, 6),
    bad=st.sampled_from(["nan", "inf", "-inf", "some", "all"]),
)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_failed_evaluations_break_nothing(name: str, seed: int, pop: int, dim: int, bad: str) -> None:
    optimizer, rng = OPTIMIZERS[name], np.random.default_rng(seed)

    def f(x: np.ndarray) -> np.ndarray:
        loss = sphere(x)
        share = {"some": 0.5, "all": 1.0}.get(bad, 0.3)
        fails = rng.random(len(x)) < share
        loss[fails] = {"nan": np.nan, "-inf": -np.inf}.get(bad, np.inf)
        return loss

    state = optimizer.init(start_of(pop, dim, seed), seed)
    for _ in range(8):
        x = optimizer.ask(state)
        assert np.isfinite(x).all() and x.shape[1] == dim
        state = optimizer.tell(state, x, seen(f(x)))
    assert_same(state, through_json(state))


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**31))
@pytest.mark.parametrize("name", GREEDY)
def test_the_population_never_gets_worse(name: str, seed: int) -> None:
    optimizer = OPTIMIZERS[name]
    state = advance(optimizer, optimizer.init(start_of(10, 4, seed), seed), 1, ragged)
    for _ in range(8):
        old = np.sort(state.loss)
        state = advance(optimizer, state, 1, ragged)
        assert np.all(np.sort(state.loss) <= old[: len(state.loss)])
        members = state.p if name.startswith("pso") else state.x
        known = np.isfinite(state.loss)
        assert np.array_equal(ragged(members)[known], state.loss[known])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_long_search_stays_finite_when_there_is_nothing_left_to_gain(name: str) -> None:
    optimizer = OPTIMIZERS[name]
    with np.errstate(all="raise", under="ignore"):
        state = advance(optimizer, optimizer.init(start_of(8, 2), 0), 250, sphere)
    assert np.isfinite(optimizer.ask(state)).all()


def test_memory_is_linear_in_a_hundred_thousand_coordinates() -> None:
    import tracemalloc

    pop, dim = 6, 100_000
    start = start_of(pop, dim)
    for optimizer in (DE(), JADE(), LSHADE(budget=100), JSO(budget=100), PSO(), OpenAIES(), SepCMA()):
        state = advance(optimizer, optimizer.init(start, 0), 1, sphere)
        tracemalloc.start()
        advance(optimizer, state, 2, sphere)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20 * pop * dim * 8, type(optimizer).__name__


# ---------------------------------------------------------------- quality


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_improves_on_the_sphere(name: str) -> None:
    optimizer = OPTIMIZERS[name]
    if hasattr(optimizer, "budget"):
        optimizer = replace(optimizer, budget=2000)
    start = start_of(20, 10)
    state, best = optimizer.init(start, 0), np.inf
    for _ in range(100):
        x = optimizer.ask(state)
        best = min(best, float(sphere(x).min()))
        state = optimizer.tell(state, x, seen(sphere(x)))
    first = sphere(start).min()
    assert best < first * (1.0 if name.startswith("random") else 0.1)


def log_best(optimizer: Any, start: np.ndarray, seed: int, budget: int, f: Callable) -> float:
    state, spent, best = optimizer.init(start, seed), 0, np.inf
    while spent < budget:
        x = optimizer.ask(state)
        loss = f(x)
        best, spent = min(best, float(loss.min())), spent + len(x)
        state = optimizer.tell(state, x, seen(loss))
    return math.log10(max(best, 1e-12))


def assert_alike(ours: list[float], theirs: list[float], what: str, bound: float = 1.0) -> None:
    """No sign of a difference in a rank test, and medians (log10) close or within the seeds' spread."""
    spread = max(np.ptp(ours), np.ptp(theirs))
    gap = abs(float(np.median(ours) - np.median(theirs)))
    p = mannwhitneyu(ours, theirs).pvalue
    assert p > 0.01 and gap <= max(bound, spread / 2), f"{what}: p {p:.3f}, {ours} against {theirs}"


def against(
    reference: Callable, make: Callable[[int], Any], name: str, *, dim: int, pop: int, budget: int, seeds: int
) -> None:
    f = FUNCTIONS[name]
    starts = [start_of(pop, dim, 100 + seed) for seed in range(seeds)]
    ours = [log_best(make(budget), start, seed, budget, f) for seed, start in enumerate(starts)]
    theirs = [reference(f, start, seed, budget) for seed, start in enumerate(starts)]
    assert_alike(ours, [math.log10(max(best, 1e-12)) for best in theirs], f"{make(budget)} on {name}")


def rand1(budget: int) -> DE:
    return DE()


def best1(budget: int) -> DE:
    return DE(strategy="best/1")


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("strategy", "make"), [("rand1bin", rand1), ("best1bin", best1)])
def test_de_matches_scipy(strategy: str, make: Callable[[int], DE], name: str) -> None:
    against(bench.scipy_de(strategy), make, name, dim=10, pop=30, budget=2400, seeds=9)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("strategy", "make"), [("rand1bin", rand1), ("best1bin", best1)])
def test_de_matches_scipy_in_thirty_dimensions(strategy: str, make: Callable[[int], DE], name: str) -> None:
    against(bench.scipy_de(strategy), make, name, dim=30, pop=60, budget=12_000, seeds=9)


ADAPTIVE = {
    "jade": lambda budget: JADE(),
    "shade": lambda budget: SHADE(),
    "l-shade": lambda budget: LSHADE(budget=budget),
    "jso": lambda budget: JSO(budget=budget),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("optimizer", ADAPTIVE)
def test_adaptive_relatives_match_references(optimizer: str, name: str) -> None:
    """minionpy where it follows the paper, plain loops after the papers elsewhere."""
    if optimizer in ("l-shade", "jso"):
        pytest.importorskip("minionpy")
    references = {
        "jade": bench.plain(H=0),
        "shade": bench.plain(H=100),
        "l-shade": bench.minion("LSHADE"),
        "jso": bench.minion("jSO"),
    }
    against(references[optimizer], ADAPTIVE[optimizer], name, dim=10, pop=30, budget=3600, seeds=9)


# ---------------------------------------------------------------- refusals


def forced(optimizer: Any, field: str, value: str) -> None:
    """Validation alone: under pytest the constructor's type check would speak first."""
    object.__setattr__(optimizer, field, value)
    optimizer.__post_init__()


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: forced(DE(), "strategy", "rand/3"), "DE strategy is 'rand/3', expected one of: rand/1, best/1"),
    (lambda: forced(DE(), "crossover", "two-point"), "DE crossover is 'two-point'"),
    (lambda: DE(F=0.0), r"DE F is 0.0, expected a number in \(0, 2\]"),
    (lambda: DE(F=(0.9, 0.5)), "DE F \\(upper end\\) is 0.5"),
    (lambda: DE(CR=math.nan), r"DE CR is nan, expected a number in \[0, 1\]"),
    (lambda: DE(p=0.0), "DE p is 0.0"),
    (lambda: JADE(c=1.5), "JADE c is 1.5"),
    (lambda: JADE(archive_rate=-1.0), r"JADE archive_rate is -1.0, expected a number in \[0, 100\]"),
    (lambda: SHADE(H=0), "SHADE H is 0"),
    (lambda: LSHADE(budget=0), "L-SHADE budget is 0"),
    (lambda: LSHADE(budget=10, N_min=3), "L-SHADE N_min is 3"),
    (lambda: JSO(budget=10, H=1), "jSO H is 1"),
    (lambda: PSO(phi_1=1.0), "phi_1 \\+ phi_2 is 3.05"),
    (lambda: forced(PSO(), "topology", "star"), "PSO topology"),
    (lambda: OpenAIES(sigma=0.0), "OpenAI-ES sigma is 0"),
    (lambda: OpenAIES(beta_2=1.0), "OpenAI-ES beta_2"),
    (lambda: CMAES(sigma=-1.0), "CMA-ES sigma is -1"),
    (lambda: SepCMA(population=3), "sep-CMA-ES population is 3"),
    (lambda: RandomSearch(sigma=0.0), "random search sigma is 0"),
    (lambda: DE().init(start_of(3, 2), 0), "DE rand/1 needs a population of at least 4 candidates, got 3"),
    (lambda: DE(strategy="rand/2").init(start_of(5, 2), 0), "at least 6"),
    (lambda: JADE().init(start_of(3, 2), 0), "JADE needs a population of at least 4"),
    (lambda: DE().init(np.full((5, 2), np.nan), 0), "needs finite start candidates"),
    (lambda: CMAES().init(start_of(5, 1001), 0), "CMA-ES keeps a 1001 x 1001 matrix.*use sep-cma"),
    (lambda: CMAES().init(start_of(3, 2), 0), "CMA-ES needs a population of at least 4"),
    (lambda: SepCMA().init(start_of(5, 1), 0), "at least 2 coordinates"),
    (lambda: RandomSearch().init(np.ones((3, 2)), 0), "candidates are all alike"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_refusals_say_what_was_expected(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_a_wrong_number_of_evaluations_is_a_programming_error() -> None:
    state = DE().init(start_of(5, 2), 0)
    with pytest.raises(ValueError, match="5 candidates but 4 evaluations"):
        DE().tell(state, DE().ask(state), seen([1.0] * 4))
