"""Every place where a file of somebody else's is read: whole files to begin with, and how each is read."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tiny import save_tiny_gguf, save_tiny_model

import acculturate
from acculturate import open_run
from acculturate.files.checksums import SUMS
from acculturate.files.run_directory import RunDirectory
from acculturate.knowledge.catalog import load_task
from acculturate.model.gguf import gguf_parts, gguf_reader
from acculturate.model.soft_prompt import SoftPrompt, read_prompt, write_prompt
from acculturate.runs.prompts import stored_prompts
from acculturate.runs.spec import make_spec, read_spec_file
from acculturate.runs.sweep.plan import read_sweep
from acculturate.survey.fitting import fit_instrument
from acculturate.survey.instrument_files import load_instrument
from acculturate.survey.item_means import read_item_means, score_item_means
from acculturate.survey.respondents import read_texts
from acculturate.survey.targets import load_target_set

_DATA = Path(acculturate.__file__).parent / "survey" / "data"
_RUNS = Path(__file__).parents[1] / "fixtures" / "runs"


@dataclass(frozen=True)
class Parser:
    """One reader: the file it is given (its name in a folder), its whole content, and the reading of the folder."""

    name: str
    file: str
    whole: bytes
    read: Callable[[Path], object]
    beside: Path | None = None

    def prepared(self, folder: Path) -> None:
        """Put what stands beside the file into a folder."""
        if self.beside is not None:
            shutil.copytree(self.beside, folder, dirs_exist_ok=True)
        if self.file != SUMS:  # a checksum would stop every change before it is read
            (folder / SUMS).unlink(missing_ok=True)


def _settings(path: Path) -> object:
    return make_spec(read_spec_file(path), str(path))


def _means(path: Path) -> object:
    return score_item_means(load_instrument("vsm2013"), read_item_means(path))


def _run(file: Path) -> object:
    """Read everything that stands in a run, so far as what is damaged lets it be read."""
    run = open_run(file.parent)
    read: list[object] = [run.table(), run._repr_html_(), [one.prompt for one in stored_prompts(file.parent)]]
    for name in ("scores", "curve", "evaluations"):
        if hasattr(run, name):
            read.append(getattr(run, name)())
    return read


def _resumed(file: Path) -> object:
    directory = RunDirectory(file.parent)
    return directory.newest(), directory.lines()


_SETTINGS_YAML = b"""# a run
model: embedded
country: SAU
targets: country-tool-estimate
tokens: 2
budget: 40
seed: 7
optimizer_options:
  h: 3
train_formats: [digits/options-first/0/en/ascending]
"""
_SETTINGS_TOML = b"""model = "embedded"
country = "SAU"
tokens = 2
population = 8
mass_penalty = 0.5
[optimizer_options]
h = 3
"""
_SWEEP = b"""settings: {model: embedded, protocol: paper, budget: 20, baselines: []}
grid:
  country: [USA, CHN]
  seed: [0, 1]
runs:
  - {country: SAU, targets: country-tool-estimate, seed: 0}
"""
_TARGETS = b"country,iso3,pdi,idv,mas,uai,lto,ivr\nSaudi Arabia,SAU,72,48,43,64,27,14\nChina,CHN,80,43,66,30,77,24\n"
_MEANS = ("item,mean\n" + "".join(f"m{k:02d},{1 + k % 4}.25\n" for k in range(1, 25))).encode()
_TEXTS = b"item,text\na,How often do you rest?\nb,How often do you work?\n"
_QUESTIONS = b"question,answer,option_1,option_2,option_3,country\n1 + 1?,2,2,3,4,USA\n2 + 2?,4,5,4,1,CHN\n"
_JSONL = (
    b'{"question": "1 + 1?", "options": ["2", "3"], "answer": "2"}\n'
    b'{"question": "x?", "options": ["a", "b"], "answer": "b"}\n'
)
_HARD = (
    b"data_idx,question_idx,prompt_question,prompt_option,answer,country\n"
    b"0,1,What is eaten?,rice,True,China\n1,1,What is eaten?,stones,False,China\n"
    b"2,1,What is eaten?,sand,False,China\n3,1,What is eaten?,NA,False,China\n"
)


_ADAPTER = ("adapter_model.safetensors", "adapter_config.json")


def _people() -> bytes:
    draw = np.random.default_rng(0)
    people = draw.integers(1, 6, size=(60, 6))
    people[:, 1::2] = np.clip(people[:, ::2] + draw.integers(-1, 2, size=(60, 3)), 1, 5)
    return ("a,b,c,d,e,f\n" + "".join(",".join(map(str, row)) + "\n" for row in people.tolist())).encode()


def parsers(place: Path) -> Mapping[str, Parser]:
    """All of them; ``place``: where to make the files that a library has to write."""
    place.mkdir(parents=True, exist_ok=True)
    write_prompt(place / "prompt.safetensors", SoftPrompt(np.ones((2, 8), np.float32), "system", {"model": "m"}))
    (place / "model").mkdir(exist_ok=True)
    gguf = place / "model.gguf"
    save_tiny_gguf(save_tiny_model(place / "model"), [gguf])
    adapter = place / "adapter"
    adapter.mkdir(exist_ok=True)
    settings = {
        **{"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM", "base_model_name_or_path": "m"},
        **{"num_virtual_tokens": 2, "token_dim": 8, "num_transformer_submodules": 1},
    }
    from safetensors.numpy import save

    (adapter / "adapter_model.safetensors").write_bytes(save({"prompt_embeddings": np.ones((2, 8), np.float32)}))
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    every = [
        Parser("settings in YAML", "run.yaml", _SETTINGS_YAML, _settings),
        Parser("settings in TOML", "run.toml", _SETTINGS_TOML, _settings),
        Parser("sweep", "sweep.yaml", _SWEEP, read_sweep),
        Parser("instrument", "own.toml", _instrument(), load_instrument),
        Parser("wording", "own.en.toml", (_DATA / "instruments" / "vsm2013.en.toml").read_bytes(), _worded),
        Parser("targets", "targets.csv", _TARGETS, load_target_set),
        Parser("item means", "means.csv", _MEANS, _means),
        Parser("item texts", "texts.csv", _TEXTS, read_texts),
        Parser("respondents", "people.csv", _people(), lambda path: fit_instrument(path, factors=1)),
        Parser("questions", "own.csv", _QUESTIONS, lambda path: load_task(str(path))),
        Parser("questions in JSON lines", "own.jsonl", _JSONL, lambda path: load_task(str(path))),
        Parser("benchmark", "hard.csv", _HARD, lambda path: load_task(f"culturalbench-hard={path}")),
        Parser("prompt", "prompt.safetensors", (place / "prompt.safetensors").read_bytes(), read_prompt),
        *(Parser(f"adapter: {name}", name, _of(adapter, name), _adapter, adapter) for name in _ADAPTER),
        Parser("GGUF", "model.gguf", gguf.read_bytes(), lambda path: (gguf_parts(path), gguf_reader(path))),
    ]
    for kind, name in (
        *(("align", name) for name in ("result.json", "spec.json", "journal.jsonl", "SHA256SUMS")),
        *(("align", name) for name in ("prompt.safetensors", "evaluations.parquet")),
        ("multitask", "multitask.json"),
        ("pareto", "front.json"),
        ("pareto", "front.safetensors"),
        ("steer", "steer.json"),
        ("steer", "directions.safetensors"),
    ):
        every.append(Parser(f"run: {kind} {name}", name, _of(_RUNS / kind, name), _run, _RUNS / kind))
    begun = _RUNS / "align"
    every.append(Parser("run to go on with", "journal.jsonl", _of(begun, "journal.jsonl"), _resumed, begun))
    return {parser.name: parser for parser in every}


def _of(folder: Path, name: str) -> bytes:
    return (folder / name).read_bytes()


def _adapter(file: Path) -> object:
    return read_prompt(file.parent), stored_prompts(file.parent)


def _worded(path: Path) -> object:
    return load_instrument("vsm2013", wording=path)


def _instrument() -> bytes:
    structure = (_DATA / "instruments" / "values_map.toml").read_text()
    wording = (_DATA / "instruments" / "values_map.en.toml").read_text()
    return (
        structure + "\n[wording.en]\n" + re.sub(r"(?m)^\[", "[wording.en.", wording.replace('language = "en"\n', ""))
    ).encode()
