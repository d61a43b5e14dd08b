"""See whether a long search costs more per evaluation than a short one, in time and in memory.

    python benchmarks/flat.py --model MODEL_FOLDER --budgets 1000,20000

Every budget is a run of its own, in a process of its own; seconds of generations stand in the progress that it prints.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_RUN = """
import json, resource, sys, time
from pathlib import Path
import numpy as np
import acculturate as ac

class Watch(ac.Callback):
    def __init__(self): self.times, self.memory = [time.perf_counter()], []
    def generation(self, generation):
        self.times.append(time.perf_counter())
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.memory.append(pages * resource.getpagesize() / 2**20)

model, budget, method, out = sys.argv[1:5]
watch = Watch()
ac.align(model, "SAU", out=out, targets="country-tool-estimate", protocol="paper", optimizer=method, tokens=2,
         population=20, budget=int(budget), baselines=[], callbacks=[watch])
steps = np.diff(watch.times)[1:]  # the first holds the loading
few = max(len(steps) // 20, 5)
print(json.dumps({"generations": len(steps), "first": float(np.median(steps[:few])),
    "last": float(np.median(steps[-few:])), "memory_first": watch.memory[few], "memory_last": watch.memory[-1],
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--budgets", default="1000,20000")
    parser.add_argument("--methods", default="de,dfgn")
    given = parser.parse_args()
    print("| method | evaluations | generations | first, ms | last, ms | memory, MiB | at the end | peak |")
    print("|---|---|---|---|---|---|---|---|")
    for method in given.methods.split(","):
        for budget in given.budgets.split(","):
            print(_row(given.model, method, budget), flush=True)


def _row(model: str, method: str, budget: str) -> str:
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-c", _RUN, model, budget, method, str(Path(place) / "run")]
        done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    if done.returncode:
        return f"| {method} | {budget} | {done.stderr.strip().splitlines()[-1]} |"
    one = json.loads(done.stdout.strip().splitlines()[-1])
    times = f"{1000 * one['first']:.1f} | {1000 * one['last']:.1f}"
    memory = f"{one['memory_first']:.0f} | {one['memory_last']:.0f} | {one['peak']:.0f}"
    return f"| {method} | {int(budget):,} | {one['generations']:,} | {times} | {memory} |"


if __name__ == "__main__":
    main()
