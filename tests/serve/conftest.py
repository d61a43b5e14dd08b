"""A tiny model with prompts in every slot, saved as files, and a server of them over a real socket."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from architectures import tiny_model_dir
from openai import OpenAI

from acculturate.model.slot import Slot
from acculturate.model.soft_prompt import SoftPrompt, write_prompt
from acculturate.runs.prompts import Prompts, load_prompts
from acculturate.serve.app import application
from acculturate.serve.server import listening_socket
from acculturate.serve.worker import Worker


@dataclass
class Served:
    prompts: Prompts
    port: int
    worker: Worker
    complaints: list[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def client(self) -> OpenAI:
        return OpenAI(base_url=self.url, api_key="none", max_retries=0, timeout=60)


@pytest.fixture(scope="session")
def paths(tmp_path_factory) -> dict[str, Path]:
    """A prompt file for each slot, two for ``response_start``."""
    folder, model = tmp_path_factory.mktemp("prompts"), str(tiny_model_dir(tmp_path_factory))
    out = {}
    for k, (name, slot) in enumerate([*((slot.value, slot) for slot in Slot), ("other", Slot.RESPONSE_START)]):
        vectors = np.random.default_rng(k).normal(size=(3, 32)) * 2
        out[name] = folder / f"{name}.safetensors"
        write_prompt(out[name], SoftPrompt(vectors.astype(np.float32), slot, {"model": model}))
    return out


@pytest.fixture(scope="session")
def prompts(paths) -> Prompts:
    return load_prompts(list(paths.values()))


@pytest.fixture(scope="session")
def served(prompts) -> Iterator[Served]:
    yield from serving(prompts)


def serving(prompts: Prompts, *, exposed: bool = False) -> Iterator[Served]:
    complaints: list[str] = []
    worker, opened = Worker(complaints.append), listening_socket(0)
    app = application(prompts, worker, complaints.append, exposed=exposed)
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", ws="none", log_config=None, log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]}, daemon=True)
    port = opened.getsockname()[1]
    thread.start()
    yield Served(prompts, port, worker, complaints)
    server.should_exit = True
    thread.join(10)
    worker.stop(5)
