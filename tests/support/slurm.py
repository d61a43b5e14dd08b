"""A stand-in for SLURM: the programs that submitit calls, which start jobs on this machine and put them back."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_CLUSTER = """\
#!{python}
import json, os, re, subprocess, sys, time
from pathlib import Path
HOME, PROGRAM, WORDS = Path({home!r}), Path(sys.argv[0]).name, sys.argv[1:]

def start(index):
    text = (HOME / "job.sh").read_text()
    own = dict(SLURM_JOB_ID=str(71 + index), SLURM_ARRAY_JOB_ID="70", SLURM_ARRAY_TASK_ID=str(index), SLURM_NTASKS="1",
               SLURM_JOB_NUM_NODES="1", SLURM_NODEID="0", SLURM_PROCID="0", SLURM_LOCALID="0",
               SLURM_JOB_NODELIST="here")
    with open(HOME / f"{{index}}.log", "a") as log:
        subprocess.Popen(["bash", HOME / "job.sh"], env=os.environ | own, stdout=log, stderr=log,
                         start_new_session=True)

if PROGRAM == "sbatch":
    text = Path(WORDS[-1]).read_text()
    (HOME / "job.sh").write_text(text)
    with open(HOME / "submitted", "a") as file:
        file.write("once\\n")
    for index in range(int(re.search(r"--array=0-(\\d+)", text)[1]) + 1):
        start(index)
    print("Submitted batch job 70")
elif PROGRAM == "srun":
    place = WORDS.index("--output")
    out, err = WORDS[place + 1], WORDS[WORDS.index("--error") + 1]
    command = WORDS[WORDS.index("--error") + 2:]
    named = lambda path: path.replace("%A", "70").replace("%a", os.environ["SLURM_ARRAY_TASK_ID"]).replace("%t", "0")
    with open(named(out), "a") as stdout, open(named(err), "a") as stderr:
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr)
    (HOME / f"{{os.environ['SLURM_ARRAY_TASK_ID']}}.pid").write_text(str(process.pid))
    sys.exit(process.wait())
elif PROGRAM == "sacct":
    print("JobID|State|NodeList\\n70_[0-9]|RUNNING|here")
elif PROGRAM == "scontrol":  # requeue 70_0
    with open(HOME / "requeued", "a") as file:
        file.write(" ".join(WORDS) + "\\n")
    start(int(WORDS[-1].split("_")[1]))
"""


def stand_in_for_slurm(folder: Path) -> str:
    """Write the programs into a folder and return a PATH that finds them; ``N.pid`` there is the process of a job."""
    folder.mkdir()
    for name in ("sbatch", "srun", "sacct", "scontrol"):
        program = folder / name
        program.write_text(_CLUSTER.format(python=sys.executable, home=str(folder)))
        program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"
