"""Settings that have to stand before NumPy, torch or a Hugging Face library is imported."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# The test models are tiny: more threads cost more in switching than they save, above all where other work wants the
# cores and a thread waits for another one by spinning.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# A shell has what it runs in the background ignore Ctrl-C, and processes hand that down: the tests and theirs listen.
signal.signal(signal.SIGINT, signal.default_int_handler)
# No test may depend on a download.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept answers and dequantised models of a test are its own."""
    monkeypatch.setenv("ACCULTURATE_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The directory of a random two-layer model with a chat template."""
    from tiny import save_tiny_model

    return save_tiny_model(Path(tmp_path_factory.mktemp("tiny")))
