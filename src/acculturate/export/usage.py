"""How to use an export, in the words of its card."""

from __future__ import annotations

import json
from pathlib import Path

from acculturate.export.kinds import ExportKind
from acculturate.export.subject import Subject
from acculturate.export.virtual_tokens import VirtualTokens
from acculturate.model.gguf import is_gguf

_WITHOUT_WEIGHTS = (ExportKind.PEFT, ExportKind.PEFT_TOKENS, ExportKind.EMBEDS)
"""Forms that name a model to load."""

_SLOTTED = """```python
import json
from pathlib import Path

from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, base = Path("."), BASE  # this folder, and the base model: a hub id or a directory
about = json.loads((folder / "acculturate.json").read_text())
tokenizer = AutoTokenizer.from_pretrained(base, padding_side="left")
tokenizer.add_tokens(about["new_tokens"], special_tokens=True)
tokenizer.chat_template = (folder / "chat_template.jinja").read_text()
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)
inputs = tokenizer.apply_chat_template(
    [{"role": "user", "content": "How should a manager decide?"}],
    add_generation_prompt=True, return_tensors="pt", return_dict=True,
)
out = model.generate(**inputs, suppress_tokens=about["token_ids"], max_new_tokens=60)
print(tokenizer.decode(out[0][inputs["input_ids"].shape[1]:], skip_special_tokens=True))
```
"""
_USAGE = {
    ExportKind.SAFETENSORS: """`prompt.safetensors` holds one float32 tensor `prompt` (tokens, width) in the space
of the embedding module's output, and in its metadata the slot and the model.

```python
import acculturate

base = BASE  # the base model: a hub id or a directory
print(acculturate.load(base).score(prompt=".").scores)
```
""",
    ExportKind.PEFT: """```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = BASE  # the base model: a hub id or a directory
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), ".")
```

PEFT drops position ids with prompt tuning: pad batches on the right, or ask one prompt at a time.
""",
    ExportKind.PEFT_TOKENS: _SLOTTED,
    ExportKind.TOKENS: """```python
from transformers import pipeline

chat = pipeline("text-generation", ".")
print(chat([{"role": "user", "content": "How should a manager decide?"}], max_new_tokens=60))
```

The chat template puts the prompt into its slot. Any engine that loads a Hugging Face model serves it, like
`vllm serve .`.
""",
    ExportKind.EMBEDS: """```console
$ vllm serve BASE --enable-prompt-embeds
$ python client.py --base BASE "How should a manager decide?"
```

vLLM was not run to make this export; what was compared are the embeddings that the client sends.
""",
    ExportKind.GGUF: """```console
$ llama-server -m model.gguf --jinja
```

The chat template in the file puts the prompt into its slot.
""",
}


def usage_of(subject: Subject, kind: ExportKind) -> str:
    """Say how to use an export, as Markdown."""
    base = json.dumps(subject.base_model, ensure_ascii=True).replace("`", "")
    return _USAGE[kind].replace("BASE", "MODEL" if kind is ExportKind.EMBEDS else base)


def notes_of(
    kind: ExportKind, tokens: VirtualTokens | None, *, tied: bool, sure: bool, meaning: tuple[str, ...]
) -> list[str]:
    """Say what has to be known about an export's tokens.

    ``tied``: whether the output head shares the embedding's rows. ``sure``: whether the head's rows alone keep the
    tokens from being written. ``meaning``: tokens that had a meaning of their own.
    """
    if tokens is None or kind is ExportKind.EMBEDS:
        return []
    notes = [f"The prompt's token ids: {', '.join(map(str, tokens.ids))}."]
    if kind is ExportKind.PEFT_TOKENS and tied:
        notes.append(
            "The output head shares these rows, so the tokens could be written: suppress them, as above. The answers "
            "among the options are the same either way."
        )
    if meaning:
        notes.append(
            f"These tokens lose their own meaning while the adapter is on: {', '.join(meaning)}. Leave "
            "them out of texts."
        )
    if kind in (ExportKind.TOKENS, ExportKind.GGUF) and not sure:
        suppressed = "generation_config.json suppresses them; " if kind is ExportKind.TOKENS else ""
        notes.append(
            "No row of the output head was found that keeps the tokens from being written in every engine: "
            f"{suppressed}tell an engine that does not know it not to write them (logit_bias)."
        )
    return notes


def weights_notes(subject: Subject, kind: ExportKind) -> list[str]:
    """Say with which weights an export was compared, where it names others that a reader will load."""
    name = subject.respondent.choice.name
    if kind not in _WITHOUT_WEIGHTS or not (name == "embedded" or is_gguf(Path(name))):
        return []
    return [
        "The weights compared are those of the run's GGUF file, brought to float32. The repository that this export "
        "names as its base may hold other weights; nothing was compared with those."
    ]
