"""How often does the verdict's test say so where nothing is, and how often where something is? Simulated respondents.

Every respondent has an answer to each item, and something of its own in each format. There are two ways to have no
effect. *Leans*: the two differ by what is alike in all formats, which a test of single answers takes for evidence.
*Luck of formats*: each format moves the second one as a whole, towards the target or away from it, and a lean besides.
With an effect, the second moves by the smallest change of items that brings its scores a share of the way to the
target, and leans besides. Counted is how many of 1,000 simulated runs have p <= 0.05; and in how many the interval of
the improvement holds the true mean, the mean over 4,000 formats.

    python benchmarks/power.py
"""

from __future__ import annotations

import argparse

import numpy as np
from jaxtyping import Float

from acculturate.judge.bootstrap import mean_interval
from acculturate.judge.permutation import permutation_p
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.scoring import Scoring

VSM = load_instrument("vsm2013")
SCORING = Scoring(VSM.weights(), VSM.constants(), np.array([95.0, 25.0, 60.0, 80.0, 36.0, 52.0]))
SHARES = (0.05, 0.1, 0.2, 0.4)
LUCK = 0.2
"""Standard deviation of how far a format moves a respondent, as a share of the way to the target."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--leans", default="0.1,0.3", help="standard deviations, in points of the scale")
    parser.add_argument("--noise", type=float, default=0.3, help="of an item in a format, the same")
    given = parser.parse_args()
    effects = " | ".join(f"moved {share:.0%} of the way" for share in SHARES)
    print(f"| formats | lean | no effect: leans | no effect: luck of formats | {effects} | interval holds the mean |")
    print("|---|---|---|---|" + "---|" * len(SHARES))
    for formats in (2, 8):
        for lean in map(float, given.leans.split(",")):
            moves = [(0.0, 0.0), (0.0, LUCK), *((share, 0.0) for share in SHARES)]
            found = [
                np.mean(
                    [
                        permutation_p(*_pair(np.random.default_rng(n), formats, move, lean, given.noise), SCORING)
                        <= 0.05
                        for n in range(given.runs)
                    ]
                )
                for move in moves
            ]
            held = np.mean([_holds(np.random.default_rng(n), formats, lean, given.noise) for n in range(given.runs)])
            cells = [f"{share:.1%}" for share in (*found, held)]
            print(f"| {formats} | {lean:g} | " + " | ".join(cells) + " |", flush=True)


def _pair(
    draw: np.random.Generator, formats: int, move: tuple[float, float], lean: float, noise: float
) -> tuple[Float[np.ndarray, "views items"], Float[np.ndarray, "views items"]]:
    """Draw the item means of a tuned and of an untuned respondent; ``move``: mean and deviation over formats."""
    middle = draw.uniform(2, 4, 24)
    own = draw.standard_normal(24) * lean / 2
    way = np.linalg.pinv(SCORING.weights) @ (SCORING.target - SCORING.scores(middle))
    ours, theirs = (there + noise * draw.standard_normal((formats, 24)) for there in (middle + own, middle - own))
    shares = move[0] + move[1] * draw.standard_normal((formats, 1))
    return ours + shares * way, theirs


def _holds(draw: np.random.Generator, formats: int, lean: float, noise: float) -> bool:
    """Tell whether the interval of the improvement over some formats holds its mean over all."""
    state = draw.bit_generator.state

    def gains(count: int) -> Float[np.ndarray, " views"]:
        draw.bit_generator.state = state
        ours, theirs = _pair(draw, count, (0.2, 0.0), lean, noise)
        return SCORING.distances(SCORING.scores(theirs)) - SCORING.distances(SCORING.scores(ours))

    interval = mean_interval(gains(formats))
    assert interval is not None
    return interval[0] <= gains(4000).mean() <= interval[1]


if __name__ == "__main__":
    main()
