"""Settings that have to stand before NumPy, torch or a Hugging Face library is imported."""

from __future__ import annotations

import os

# The test models are tiny: more threads cost more in switching than they save, and results stay reproducible.
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# No test may depend on a download.
os.environ["HF_HUB_OFFLINE"] = "1"
