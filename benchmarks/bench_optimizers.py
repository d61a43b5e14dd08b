"""Optimizers on test functions at equal budgets, ours beside reference implementations.

Run: python benchmarks/bench_optimizers.py [--dims 10 30] [--seeds 9] [--evaluations-per-dim 300] [--pop 40]
References (development only): scipy's differential_evolution for DE; minionpy for L-SHADE and jSO; plain
loops after the papers for JADE (minionpy's takes another mean of F) and SHADE (minionpy has none); bare cmaes
for CMA-ES. A cell is the median best loss over the seeds and, in brackets, the range; p is a two-sided rank
test of ours against the reference on the same starts. Losses below 1e-12 count as 1e-12.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from typing import Any

import cmaes
import numpy as np
from scipy.optimize import differential_evolution
from scipy.stats import mannwhitneyu

from acculturate.search.optimizers.cma import CMAES, SepCMA
from acculturate.search.optimizers.de import DE
from acculturate.search.optimizers.jade import JADE
from acculturate.search.optimizers.jso import JSO
from acculturate.search.optimizers.lshade import LSHADE
from acculturate.search.optimizers.openai_es import OpenAIES
from acculturate.search.optimizers.pso import PSO
from acculturate.search.optimizers.random_search import RandomSearch
from acculturate.search.optimizers.shade import SHADE
from acculturate.survey.loss import Evaluation
from acculturate.survey.response import Response

Function = Callable[[np.ndarray], np.ndarray]
Solver = Callable[[Function, np.ndarray, int, int], float]

BOX = (-5.0, 5.0)
# The methods have no bounds; a reference that insists on some gets ones that no search comes near.
WIDE = (-1e3, 1e3)
FLOOR = 1e-12


def sphere(x: np.ndarray) -> np.ndarray:
    return np.sum(x * x, axis=1)


def rosenbrock(x: np.ndarray) -> np.ndarray:
    return np.sum(100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2, axis=1)


def rastrigin(x: np.ndarray) -> np.ndarray:
    return np.sum(x * x - 10 * np.cos(2 * np.pi * x) + 10, axis=1)


def ackley(x: np.ndarray) -> np.ndarray:
    spread = -20 * np.exp(-0.2 * np.sqrt(np.mean(x * x, axis=1)))
    return spread - np.exp(np.mean(np.cos(2 * np.pi * x), axis=1)) + 20 + math.e


def ours(make: Callable[[int], Any]) -> Solver:
    """An optimizer behind the seam; ``make`` takes the budget."""
    blank = Response(np.zeros((1, 1, 1)), np.ones((1, 1)))

    def solve(f: Function, start: np.ndarray, seed: int, budget: int) -> float:
        optimizer = make(budget)
        state, spent, best = optimizer.init(start, seed), 0, math.inf
        while spent < budget:
            x = optimizer.ask(state)
            loss = f(x)
            best, spent = min(best, float(loss.min())), spent + len(x)
            seen = [Evaluation(blank, np.zeros((1, 1)), float(value)) for value in loss]
            state = optimizer.tell(state, x, seen)
        return best

    return solve


def scipy_de(strategy: str) -> Solver:
    def solve(f: Function, start: np.ndarray, seed: int, budget: int) -> float:
        result = differential_evolution(
            lambda x: f(x.T),
            [WIDE] * start.shape[1],
            strategy=strategy,
            maxiter=budget // len(start) - 1,
            mutation=0.5,
            recombination=0.7,
            tol=0,
            atol=0,
            polish=False,
            init=start,  # pyright: ignore[reportArgumentType]
            updating="deferred",
            vectorized=True,
            rng=np.random.default_rng(seed),
        )
        return float(result.fun)

    return solve


def minion(name: str) -> Solver:
    def solve(f: Function, start: np.ndarray, seed: int, budget: int) -> float:
        import minionpy

        search = minionpy.Minimizer(
            lambda x, *_: f(np.asarray(x)).tolist(),
            [WIDE] * start.shape[1],
            x0=start.tolist(),
            algo=name,
            maxevals=budget,
            seed=seed,
            options={"population_size": len(start), "x_tol": -1.0},
        )
        return float(search.optimize().fun)

    return solve


def plain(H: int) -> Solver:
    """JADE (H = 0) or SHADE with H entries once more, member by member, sharing no line with the package."""

    def solve(f: Function, start: np.ndarray, seed: int, budget: int) -> float:
        rng = np.random.default_rng([seed, 99])
        x, loss, archive = start.copy(), f(start), []
        memory, k = [np.array([0.5, 0.5]) for _ in range(max(1, H))], 0
        for _ in range(budget // len(x) - 1):
            trials = [plain_trial(rng, i, x, loss, archive, memory) for i in range(len(x))]
            values = f(np.array([trial[0] for trial in trials]))
            winners = [i for i in range(len(x)) if values[i] < loss[i]]
            if not winners:
                continue
            archive += [x[i].copy() for i in winners]
            while len(archive) > len(x):
                archive.pop(int(rng.integers(len(archive))))
            F, CR = np.array([trials[i][1:] for i in winners]).T
            w = np.array([loss[i] - values[i] for i in winners]) if H else np.ones(len(winners))
            means = np.array([np.sum(w * F**2) / np.sum(w * F), np.sum(w * CR) / np.sum(w)])
            if H:
                memory[k], k = means, (k + 1) % H
            else:
                memory[0] = 0.9 * memory[0] + 0.1 * means
            for i in winners:
                x[i], loss[i] = trials[i][0], values[i]
        return float(loss.min())

    return solve


def plain_trial(
    rng: np.random.Generator,
    i: int,
    x: np.ndarray,
    loss: np.ndarray,
    archive: list[np.ndarray],
    memory: list[np.ndarray],
) -> tuple[np.ndarray, float, float]:
    """One trial of JADE (a memory of one entry) or SHADE, with its F and CR."""
    pop, dim = x.shape
    location, mean = memory[int(rng.integers(len(memory)))]
    CR, F = min(1.0, max(0.0, rng.normal(mean, 0.1))), 0.0
    while F <= 0:
        F = location + 0.1 * math.tan(math.pi * (rng.random() - 0.5))
    F = min(F, 1.0)
    p = 0.05 if len(memory) == 1 else rng.uniform(2 / pop, 0.2)
    best = x[np.argsort(loss)[rng.integers(max(2, round(p * pop)))]]
    r1 = rng.choice([j for j in range(pop) if j != i])
    others = [x[j] for j in range(pop) if j not in (i, r1)] + archive
    v = x[i] + F * (best - x[i]) + F * (x[r1] - others[int(rng.integers(len(others)))])
    forced = rng.integers(dim)
    u = np.array([v[j] if rng.random() < CR or j == forced else x[i, j] for j in range(dim)])
    return u, F, CR


def bare_cmaes(cls: Any) -> Solver:
    def solve(f: Function, start: np.ndarray, seed: int, budget: int) -> float:
        loss = f(start)
        best, spent = float(loss.min()), len(start)
        mean = start[int(np.argmin(loss))].copy()
        es = cls(mean=mean, sigma=1.0, population_size=len(start), seed=seed)
        while spent < budget:
            x = np.array([es.ask() for _ in range(es.population_size)])
            loss = f(x)
            best, spent = min(best, float(loss.min())), spent + len(x)
            es.tell(list(zip(x, loss.tolist(), strict=True)))
        return best

    return solve


SOLVERS: dict[str, tuple[Solver, Solver | None]] = {
    "DE rand/1/bin": (ours(lambda _: DE()), scipy_de("rand1bin")),
    "DE best/1/bin": (ours(lambda _: DE(strategy="best/1")), scipy_de("best1bin")),
    "DE rand/1/exp": (ours(lambda _: DE(crossover="exponential")), scipy_de("rand1exp")),
    "DE current-to-pbest/1": (ours(lambda _: DE(strategy="current-to-pbest/1", F=(0.5, 1.0))), None),
    "JADE": (ours(lambda _: JADE()), plain(H=0)),
    "SHADE": (ours(lambda _: SHADE()), plain(H=100)),
    "L-SHADE": (ours(lambda budget: LSHADE(budget=budget)), minion("LSHADE")),
    "jSO": (ours(lambda budget: JSO(budget=budget)), minion("jSO")),
    "PSO": (ours(lambda _: PSO()), None),
    "PSO ring": (ours(lambda _: PSO(topology="ring")), None),
    "CMA-ES": (ours(lambda _: CMAES()), bare_cmaes(cmaes.CMA)),
    "sep-CMA-ES": (ours(lambda _: SepCMA()), bare_cmaes(cmaes.SepCMA)),
    "OpenAI-ES": (ours(lambda _: OpenAIES()), None),
    "random search": (ours(lambda _: RandomSearch()), None),
}


def cell(best: Sequence[float]) -> str:
    return f"{np.median(best):.1e} [{min(best):.0e}, {max(best):.0e}]"


def main() -> None:
    parser = argparse.ArgumentParser(description="Optimizers on test functions, ours against references.")
    parser.add_argument("--dims", type=int, nargs="+", default=[10, 30])
    parser.add_argument("--seeds", type=int, default=9)
    parser.add_argument("--evaluations-per-dim", type=int, default=300)
    parser.add_argument("--pop", type=int, default=40)
    parser.add_argument("--only", nargs="+", choices=list(SOLVERS), default=list(SOLVERS))
    args = parser.parse_args()
    print("| function | dim | optimizer | ours | reference | p |\n|---|---|---|---|---|---|")
    for f in (sphere, rosenbrock, rastrigin, ackley):
        for dim in args.dims:
            budget = args.evaluations_per_dim * dim
            rngs = [np.random.default_rng([dim, seed]) for seed in range(args.seeds)]
            starts = [rng.uniform(*BOX, (args.pop, dim)) for rng in rngs]
            for name in args.only:
                results = []
                for solve in SOLVERS[name]:
                    if solve is not None:
                        best = [solve(f, start, seed, budget) for seed, start in enumerate(starts)]
                        results.append([max(FLOOR, value) for value in best])
                columns = [cell(best) for best in results] + ["-"] * (2 - len(results))
                p = f"{mannwhitneyu(*results).pvalue:.2f}" if len(results) == 2 else "-"
                print(f"| {f.__name__} | {dim} | {name} | {columns[0]} | {columns[1]} | {p} |", flush=True)


if __name__ == "__main__":
    main()
