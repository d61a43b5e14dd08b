"""A GGUF file with a soft prompt as added vocabulary, for llama.cpp and what is built on it.

The file is the model's own with other tables of embeddings and of the output head: all other weights are copied as they
are, quantised or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import gguf
import numpy as np
from jaxtyping import Float

from acculturate.errors import ModelError
from acculturate.export.rows import rows_of
from acculturate.export.subject import Subject
from acculturate.export.unsampled import HeadRow
from acculturate.export.virtual_tokens import VirtualTokens
from acculturate.model.gguf import gguf_reader
from acculturate.model.slot import Slot

EMBEDDING, HEAD, HEAD_BIAS = "token_embd.weight", "output.weight", "output.bias"
_LIST, _TEMPLATE = "tokenizer.ggml.", gguf.Keys.Tokenizer.CHAT_TEMPLATE
_TYPES = gguf.GGUFValueType


def write_gguf(subject: Subject, tokens: VirtualTokens, head: HeadRow, file: Path) -> None:
    """Write the model's GGUF file anew with the prompt's tokens and a template that puts them into the slot.

    Raises ``UserError`` where the file is not one of this model.
    """
    readers = [gguf_reader(part) for part in subject.gguf]
    tensors = {tensor.name: tensor for reader in readers for tensor in reader.tensors}
    tables = _tables(subject, tokens, head, tensors)
    writer = gguf.GGUFWriter(file, arch=str(_value(readers[0], "general.architecture")))
    _write_settings(writer, readers[0], subject, tokens, len(tables[EMBEDDING]))
    for name, tensor in tensors.items():
        if name not in tables:
            writer.add_tensor_info(name, tensor.data.shape, tensor.data.dtype, tensor.data.nbytes, tensor.tensor_type)
    for name, table in tables.items():
        writer.add_tensor_info(name, table.shape, table.dtype, table.nbytes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, tensor in tensors.items():
        if name not in tables:
            writer.write_tensor_data(tensor.data)
    for table in tables.values():
        writer.write_tensor_data(table)
    writer.close()


def _value(reader: gguf.GGUFReader, name: str) -> Any:
    field = reader.get_field(name)
    return None if field is None else cast(Any, field).contents()


def _tables(
    subject: Subject, tokens: VirtualTokens, head: HeadRow, tensors: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Extend the tables of embeddings and of the output head by the prompt's tokens."""
    embedding = tensors.get(EMBEDDING)
    if embedding is None or int(embedding.shape[0]) != subject.respondent.hidden:
        raise ModelError("The GGUF file has no embedding of this model's width; name a file of the same model.")
    ids = list(tokens.ids)
    # A tied head reads the embedding; with a table of its own, the prompt's rows are not in it.
    output = tensors.get(HEAD, embedding)
    tables = {
        EMBEDDING: _extended(embedding, ids, rows_of(subject)),
        HEAD: _extended(output, ids, np.repeat(head.row[None], len(ids), axis=0)),
    }
    if (bias := tensors.get(HEAD_BIAS)) is not None:
        tables[HEAD_BIAS] = _extended(bias, ids, np.zeros(len(ids), dtype=np.float32))
    return tables


def _extended(tensor: Any, ids: Sequence[int], rows: Float[np.ndarray, "tokens *width"]) -> np.ndarray:
    """Put rows at some ids of a table, which grows where they lie beyond its end."""
    table = gguf.dequantize(tensor.data, tensor.tensor_type)
    whole = np.zeros((max(len(table), max(ids) + 1), *table.shape[1:]), dtype=np.float32)
    whole[: len(table)], whole[list(ids)] = table, rows
    if tensor.tensor_type == gguf.GGMLQuantizationType.F32 or table.ndim == 1:
        return whole
    if np.abs(rows).max() > np.finfo(np.float16).max:
        raise ModelError("The prompt's numbers are too large for a GGUF file of this model; choose `to='tokens'`.")
    return whole.astype(np.float16)


def _write_settings(
    writer: gguf.GGUFWriter, reader: gguf.GGUFReader, subject: Subject, tokens: VirtualTokens, vocabulary: int
) -> None:
    """Write the file's settings, with the prompt's tokens in the vocabulary and its template."""
    arch = _value(reader, "general.architecture")
    words = dict(zip(tokens.ids, tokens.names, strict=True))
    own = {
        f"{_LIST}tokens": _at(_value(reader, f"{_LIST}tokens"), words, "[UNUSED]", vocabulary),
        _TEMPLATE: tokens.template,
    }
    control = dict.fromkeys(tokens.ids, int(gguf.TokenType.CONTROL))
    if (types := _value(reader, f"{_LIST}token_type")) is not None:
        own[f"{_LIST}token_type"] = _at(types, control, int(gguf.TokenType.UNUSED), vocabulary)
    if (scores := _value(reader, f"{_LIST}scores")) is not None:
        own[f"{_LIST}scores"] = _at(scores, dict.fromkeys(tokens.ids, 0.0), 0.0, vocabulary)
    if reader.get_field(f"{arch}.vocab_size") is not None:
        own[f"{arch}.vocab_size"] = vocabulary
    if subject.prompt.slot == Slot.BEFORE_BOS:  # the template brings it, behind the prompt
        writer.add_bool(f"{_LIST}add_bos_token", False)
    for field in reader.fields.values():
        if field.name.startswith(("GGUF.", "split.")) or field.name in ("general.architecture", "general.alignment"):
            continue
        if field.name == f"{_LIST}add_bos_token" and subject.prompt.slot == Slot.BEFORE_BOS:
            continue
        value = own.pop(field.name) if field.name in own else cast(Any, field).contents()
        inner = field.types[-1] if field.types[0] == _TYPES.ARRAY else None
        writer.add_key_value(field.name, value, field.types[0], inner)
    if _TEMPLATE in own:
        writer.add_chat_template(tokens.template)


def _at(values: Any, changes: Mapping[int, Any], filling: Any, length: int) -> list[Any]:
    """Copy a list of the vocabulary with other values at some ids, as long as the tables."""
    if not isinstance(values, list):
        raise ModelError("The GGUF file has no vocabulary; name a complete file of the same model.")
    whole = [*values, *([filling] * (length - len(values)))]
    for place, value in changes.items():
        whole[place] = value
    return whole
