"""GGUF files: one model in one file or in several parts, dequantised once into a cache.

Reading GGUF takes far longer than reading the float32 weights that come out of it, so those are kept.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import gguf
import torch
from platformdirs import user_cache_path
from transformers import AutoModelForCausalLM, AutoTokenizer

from acculturate.errors import ModelError, UserError, counted, first_line, some
from acculturate.model.gguf_settings import carry_over

_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
# Written last into a finished folder: this number, and size and name of each of its files. Where the number is another
# or a file is not there in its size, the folder is made anew.
_FINISHED, _VERSION = "acculturate-gguf.txt", "4"


def is_gguf(path: Path) -> bool:
    """Tell whether a path names a GGUF file, in small or capital letters."""
    return path.suffix.lower() == ".gguf"


def cache_folder() -> Path:
    """Return the folder of dequantised models: ``$ACCULTURATE_CACHE``, else one in the user's cache directory."""
    home = os.environ.get("ACCULTURATE_CACHE")
    if home:
        return Path(home)
    try:
        return user_cache_path("acculturate")
    except RuntimeError as error:  # no home directory and no account
        raise ModelError(
            "There is no home directory to keep dequantised models in; set ACCULTURATE_CACHE to a directory."
        ) from error


def gguf_parts(path: Path) -> list[Path]:
    """List the file itself, or all parts of a split model by their names, first to last.

    Raises ``UserError`` where a part is missing.
    """
    named = _PART.fullmatch(path.name)
    if named is None:
        return [path]
    stem, count = named["stem"], int(named["count"])
    files = [path.with_name(f"{stem}-{k:05d}-of-{count:05d}{path.suffix}") for k in range(1, count + 1)]
    for file in files:
        if not file.is_file():
            raise ModelError(
                f"Model file '{path}' is one of {count} parts of a model, and '{file.name}' is not beside it; "
                "put all parts into one directory."
            )
    return files


def _check_parts(files: Sequence[Path], readers: Sequence[gguf.GGUFReader]) -> None:
    """Refuse a part that stands alone under another name, and parts of different models."""
    for k, (file, reader) in enumerate(zip(files, readers, strict=True)):
        number, count = (_number(reader, key) for key in ("split.no", "split.count"))
        if max(count, 1) != len(files) or (count > 1 and number != k):
            stands = f"part {number + 1} of {count}" if count > 1 else "a whole model"
            raise ModelError(
                f"Model file '{file}' says that it is {stands}, but it was given as {k + 1} of {len(files)}; give all "
                f"parts of one model, named like NAME-00001-of-{max(count, 2):05d}.gguf."
            )


def _number(reader: gguf.GGUFReader, key: str) -> int:
    field = reader.get_field(key)
    return 0 if field is None else int(field.contents())


def gguf_reader(path: Path) -> gguf.GGUFReader:
    """Open a GGUF file without reading its weights; raises ``UserError`` where it is none, or not whole."""
    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise ModelError(f"Model file '{path}' does not begin as GGUF files do; fetch it again.")
    except OSError as error:
        raise ModelError(f"Cannot read model file '{path}': {error.strerror or error}.") from error
    try:
        return gguf.GGUFReader(path)
    except Exception as error:
        raise ModelError(
            f"Model file '{path}' cannot be read as GGUF: it is cut off or damaged (its header names more than it "
            "holds); fetch it again."
        ) from error


def dequantised(files: Sequence[Path], digest: str) -> Path:
    """Dequantise a model into a directory of float32 weights and a tokenizer, once per content.

    ``files``: the file or its parts; ``digest``: their SHA-256. Raises ``UserError`` where the cache cannot be
    written or the file is no whole model.
    """
    home = cache_folder() / "dequantised"
    folder = home / digest[:16]
    if _finished(folder):
        return folder
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _alone(home / f".lock-{digest[:16]}"):
            if not _finished(folder):
                _clear(home, digest[:16])
                _make(files, home / f".partial-{digest[:16]}", folder)
    except OSError as error:
        raise _unwritable(home, error.strerror or str(error)) from error
    return folder


def _finished(folder: Path) -> bool:
    """Tell whether a folder is there as it was made, by sizes: a checksum of gigabytes at every start costs more."""
    try:
        version, *files = (folder / _FINISHED).read_text(encoding="utf-8").splitlines()
        sizes = [line.split(" ", 1) for line in files]
        return version == _VERSION and all((folder / name).stat().st_size == int(size) for size, name in sizes)
    except (OSError, ValueError):
        return False


def _marker(folder: Path) -> str:
    """Write what the marker of a folder says that holds these files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return "\n".join([_VERSION, *(f"{path.stat().st_size} {path.relative_to(folder)}" for path in files), ""])


def _unwritable(home: Path, why: str) -> UserError:
    return ModelError(
        f"Cannot write the model cache '{home}' ({why}); set ACCULTURATE_CACHE to a directory that you can write to "
        "and that has room for the model in float32."
    )


@contextlib.contextmanager
def _alone(lock: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock file; raises ``BlockingIOError`` if it is taken and one does not ``wait``."""
    with lock.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError:
            pass  # no locks on this file system: two processes may both make the folder, and one wins
        yield


def _clear(home: Path, mine: str) -> None:
    """Remove what killed processes left: each is a whole model. Those that somebody works on are locked."""
    for scratch in home.glob(".partial-*"):
        name = scratch.name.removeprefix(".partial-")
        with contextlib.suppress(BlockingIOError):
            with contextlib.nullcontext() if name == mine else _alone(home / f".lock-{name}", wait=False):
                shutil.rmtree(scratch, ignore_errors=True)
            if name != mine:
                (home / f".lock-{name}").unlink(missing_ok=True)


def _make(files: Sequence[Path], scratch: Path, folder: Path) -> None:
    scratch.mkdir()
    # The library takes a tokenizer and code from whatever lies beside a GGUF file: nothing lies beside this one.
    alone = scratch / ".source"
    alone.mkdir()
    try:
        file = alone / "model.gguf"
        readers = [gguf_reader(one) for one in files]
        _check_parts(files, readers)
        if len(files) == 1:
            file.symlink_to(files[0].resolve())
        else:
            _join(readers, file)
        # Its progress bars know no switch.
        with contextlib.redirect_stderr(io.StringIO()):
            _dequantise(file, scratch, files[0], readers[0] if len(files) == 1 else gguf_reader(file))
        shutil.rmtree(alone)
        (scratch / _FINISHED).write_text(_marker(scratch), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)  # of an earlier version, or damaged
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _dequantise(file: Path, into: Path, named: Path, reader: gguf.GGUFReader) -> None:
    """Read ``file`` with the library, complete what it drops, and save the result; ``named``: as messages name it."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, trust_remote_code=False)
        model, report = cast(Any, AutoModelForCausalLM).from_pretrained(
            file.parent,
            gguf_file=file.name,
            dtype=torch.float32,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:
        raise ModelError(f"Model file '{named}' cannot be read as GGUF: {first_line(error)}.") from error
    if lacking := sorted(report["missing_keys"]):
        raise ModelError(
            f"Model file '{named}' lacks {counted(lacking, 'weight')} that its architecture needs: {some(lacking)}; "
            "give a complete GGUF file."
        )
    try:
        carry_over(model, reader)
    except ValueError as error:
        raise ModelError(
            f"Model file '{named}' cannot be read whole: {error}; give the model in the Hugging Face format."
        ) from error
    # The weights are plain float32 from here on; the note of how they once were quantised would be refused.
    if hasattr(model.config, "quantization_config"):
        delattr(model.config, "quantization_config")
    cast(Any, model).hf_quantizer = None
    try:
        model.save_pretrained(into)
        tokenizer.save_pretrained(into)
    except OSError:
        raise
    except Exception as error:  # safetensors has an error of its own for a full disk
        raise _unwritable(into.parent, first_line(error)) from error


def _join(readers: Sequence[gguf.GGUFReader], into: Path) -> None:
    """Write the parts of a split model as one file: the first part's settings, the weights of all."""
    settings = readers[0]
    writer = gguf.GGUFWriter(into, arch=str(cast(Any, settings.get_field("general.architecture")).contents()))
    for field in settings.fields.values():
        if field.name.startswith(("GGUF.", "split.")) or field.name == "general.architecture":
            continue
        kind, inner = field.types[0], field.types[-1]
        writer.add_key_value(field.name, field.contents(), kind, inner if kind == gguf.GGUFValueType.ARRAY else None)
    tensors = [tensor for reader in readers for tensor in reader.tensors]
    for tensor in tensors:
        writer.add_tensor_info(
            tensor.name, tensor.data.shape, tensor.data.dtype, tensor.data.nbytes, tensor.tensor_type
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in tensors:
        writer.write_tensor_data(tensor.data)
    writer.close()
