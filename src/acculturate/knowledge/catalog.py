"""Tasks by name: published benchmarks, tasks of the package, and files of a user."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from acculturate.errors import SettingError
from acculturate.files.datafile import nearest, user_path
from acculturate.files.rows import Row, read_rows
from acculturate.knowledge.builtin import builtin_tasks, load_builtin
from acculturate.knowledge.gather import gather
from acculturate.knowledge.hub import hub_rows
from acculturate.knowledge.layouts import (
    blend,
    culturalbench_easy,
    culturalbench_hard,
    global_opinions,
    include,
    normad,
)
from acculturate.knowledge.layouts.layout import Layout
from acculturate.knowledge.layouts.own import own_questions
from acculturate.knowledge.task import Task, TaskKind
from acculturate.legible import shown

# pandas, by which the hub's library reads CSV, would make nothing of options like "None" and "NA".
_TEXT_AS_IT_IS = {"keep_default_na": False}


@dataclass(frozen=True)
class Published:
    """Describe a published benchmark.

    Parameters
    ----------
    title, about
        Its name in a report, and a line on what it is.
    layout
        How its rows are read.
    hub, config, split
        Where it is on the hub; ``config`` is None where it has no parts, or a part a language.
    licence
        Terms of the data, as their makers name them.
    citation
        What to cite: authors, year, title, number at arXiv.
    reading
        Settings with which the hub's library has to read its files.
    """

    title: str
    about: str
    layout: Layout
    hub: str
    config: str | None
    split: str
    licence: str
    citation: str
    reading: Mapping[str, object] = field(default_factory=dict)


_CULTURALBENCH = (
    "Chiu, Jiang, Lin and others (2024): CulturalBench: a Robust, Diverse and Challenging Benchmark on Measuring the "
    "(Lack of) Cultural Knowledge of LLMs. arXiv:2410.02677."
)

PUBLISHED = {
    "culturalbench-hard": Published(
        title="CulturalBench-Hard",
        about="1,227 questions on 45 countries and regions, four judgements each that all have to be right",
        layout=culturalbench_hard.LAYOUT,
        hub="kellycyy/CulturalBench",
        config="CulturalBench-Hard",
        split="test",
        licence="CC-BY-4.0",
        citation=_CULTURALBENCH,
        reading=_TEXT_AS_IT_IS,
    ),
    "culturalbench-easy": Published(
        title="CulturalBench-Easy",
        about="the questions of CulturalBench-Hard with four options, one of them right",
        layout=culturalbench_easy.LAYOUT,
        hub="kellycyy/CulturalBench",
        config="CulturalBench-Easy",
        split="test",
        licence="CC-BY-4.0",
        citation=_CULTURALBENCH,
        reading=_TEXT_AS_IT_IS,
    ),
    "blend": Published(
        title="BLEnD",
        about="everyday life in 16 countries and regions, about 306,000 variants of some 5,000 questions",
        layout=blend.LAYOUT,
        hub="nayeon212/BLEnD",
        config="multiple-choice-questions",
        split="test",
        licence="CC-BY-SA-4.0",
        citation="Myung, Lee, Zhou and others (2024): BLEnD: A Benchmark for LLMs on Everyday Knowledge in Diverse "
        "Cultures and Languages. arXiv:2406.09948.",
    ),
    "normad": Published(
        title="NormAd",
        about="stories from 75 countries, and whether what somebody does is acceptable there",
        layout=normad.LAYOUT,
        hub="akhilayerukola/NormAd",
        config=None,
        split="train",
        licence="CC-BY-4.0",
        citation="Rao, Yerukola, Shah, Reinecke and Sap (2024): NormAd: A Framework for Measuring the Cultural "
        "Adaptability of Large Language Models. arXiv:2404.12464.",
        reading=_TEXT_AS_IT_IS,
    ),
    "include": Published(
        title="INCLUDE",
        about="questions of local exams, about 550 in each of 44 languages",
        layout=include.LAYOUT,
        hub="CohereLabs/include-base-44",
        config=None,
        split="test",
        licence="Apache-2.0",
        citation="Romanou, Foroutan, Sotnikova and others (2024): INCLUDE: Evaluating Multilingual Language "
        "Understanding with Regional Knowledge. arXiv:2411.19799.",
    ),
    "globalopinionqa": Published(
        title="GlobalOpinionQA",
        about="2,556 questions of two international surveys, with the answers of many countries' people",
        layout=global_opinions.LAYOUT,
        hub="Anthropic/llm_global_opinions",
        config=None,
        split="train",
        licence="CC-BY-NC-SA-4.0",
        citation="Durmus, Nguyen, Liao and others (2023): Towards Measuring the Representation of Subjective Global "
        "Opinions in Language Models. arXiv:2306.16388.",
        reading=_TEXT_AS_IT_IS,
    ),
}

_LANGUAGES = (
    "Albanian Arabic Armenian Azerbaijani Basque Belarusian Bengali Bulgarian Chinese Croatian Dutch Estonian Finnish "
    "French Georgian German Greek Hebrew Hindi Hungarian Indonesian Italian Japanese Kazakh Korean Lithuanian Malay "
    "Malayalam Nepali North_Macedonian Persian Polish Portuguese Russian Serbian Spanish Tagalog Tamil Telugu Turkish "
    "Ukrainian Urdu Uzbek Vietnamese"
)
INCLUDE_PARTS = {f"include-{name.lower().replace('_', '-')}": name.replace("_", " ") for name in _LANGUAGES.split()}
"""The parts of INCLUDE on the hub, by the name of the task."""


def tasks() -> dict[str, str]:
    """List what names a task, each with a line on what it is; ``NAME=FILE`` reads a published one from a file."""
    published = {name: f"{one.about} ({one.licence})" for name, one in PUBLISHED.items()}
    languages = ", ".join(name.removeprefix("include-") for name in INCLUDE_PARTS)
    published["include-LANGUAGE"] = f"{published.pop('include')}: {languages}"
    return {**builtin_tasks(), **published, "FILE.csv, FILE.jsonl": "questions of your own"}


def load_task(spec: str) -> Task:
    """Load a task by what a user writes for it.

    Parameters
    ----------
    spec
        The name of a built-in task; that of a published one, which comes from the hub; ``NAME=FILE`` for a published
        one from a local file in its layout (.csv, .tsv, .json, .jsonl, .parquet); or the path of a .csv or .jsonl
        file with questions of one's own (``layouts/own.py``).

    Raises
    ------
    UserError
        For a name that there is not (naming the nearest), data that cannot be had, and files that are not as they
        should be (naming file, place and column).
    """
    name, equals, path = spec.partition("=")
    name = name.strip().lower()
    if not equals and name in builtin_tasks():
        return load_builtin(name)
    if name in PUBLISHED or name in INCLUDE_PARTS:
        return _from_file(name, user_path(path)) if equals else _from_hub(name)
    if Path(spec).suffix.lower() not in (".csv", ".jsonl"):
        _refuse(spec, name, equals)
    file = user_path(spec)
    if equals and re.fullmatch(r"[\w-]+", name) and not _is_there(file):
        _refuse(spec, name, equals)
    return Task(spec, file.name, TaskKind.CHOICE, own_questions(file), source=str(file))


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, a folder that is closed
        return False


def _from_file(name: str, path: Path) -> Task:
    return _task(name, read_rows(path), str(path))


def _from_hub(name: str) -> Task:
    one = _published(name)
    if name == "include":
        raise SettingError(
            f"{one.title} has a task for each of {len(INCLUDE_PARTS)} languages: write include-LANGUAGE, like "
            "include-arabic, or include=FILE."
        )
    config = INCLUDE_PARTS.get(name, one.config)
    rows = hub_rows(one.hub, config, one.split, f"{name}=FILE", one.reading)
    return _task(name, rows, ", ".join(part for part in (one.hub, config, f"split {one.split}") if part))


def _task(name: str, rows: list[Row], source: str) -> Task:
    one = _published(name)
    questions, notes = gather(rows, one.layout)
    part = f", {INCLUDE_PARTS[name]}" if name in INCLUDE_PARTS else ""
    return Task(name, one.title + part, one.layout.kind, questions, one.licence, one.citation, source, notes)


def _published(name: str) -> Published:
    return PUBLISHED["include" if name in INCLUDE_PARTS else name]


def _refuse(spec: str, name: str, equals: str) -> NoReturn:
    if name in builtin_tasks():
        raise SettingError(f"The task {name} comes with acculturate and takes no file: write {name} alone.")
    published = [*PUBLISHED, *INCLUDE_PARTS]
    if equals:
        near = nearest(name, published)
        raise SettingError(f"No published task is called {shown(name)}{near}; expected NAME=FILE, or FILE.csv alone.")
    # The name of a file is like no task's.
    near = "" if Path(name).suffix or Path(name).name != name else nearest(name, [*builtin_tasks(), *published])
    raise SettingError(
        f"No task is called {shown(spec)}{near}; `acculturate list tasks` lists them, and questions of your own are a "
        ".csv or .jsonl file."
    )
