"""Talk to a vLLM server with a soft prompt, which is sent as embeddings.

vllm serve MODEL --enable-prompt-embeds
python client.py --url http://localhost:8000/v1 --base MODEL "How should a manager decide?"

It needs torch, transformers and safetensors. The server must trust whoever sends embeddings: it unpacks them.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer


class Prompt:
    """Hold a soft prompt with the embedding table and the tokenizer of its model."""

    def __init__(self, folder: Path, base: str, revision: str | None = None, own_code: bool = False) -> None:
        about = json.loads((folder / "acculturate.json").read_text(encoding="utf-8"))
        with safe_open(folder / "prompt.safetensors", framework="pt") as stored:
            self.vectors: torch.Tensor = stored.get_tensor("prompt")
        options: dict[str, Any] = {"trust_remote_code": own_code} | ({"revision": revision} if revision else {})
        self.slot: str = about["slot"]
        self.tokenizer: Any = AutoTokenizer.from_pretrained(base, **options)
        # The prompt's tokens exist here alone: they mark the slot, and the vectors take their place.
        self.tokenizer.add_tokens(about["new_tokens"], special_tokens=True)
        self.tokenizer.chat_template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
        self.ids: list[int] = about["token_ids"]
        self.names: list[str] = about["token_names"]
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, **options)
        self.table = model.get_input_embeddings()
        # Prompts must not share a key of the server's prefix cache.
        self.salt = hashlib.sha256(self.vectors.numpy().tobytes()).hexdigest()

    @torch.inference_mode()
    def around(self, before: Sequence[int], after: Sequence[int]) -> torch.Tensor:
        """Embed token ids before and after the prompt, and the prompt between them: (tokens, width)."""
        parts = [self.table(torch.tensor(list(ids), dtype=torch.long)) for ids in (before, after)]
        return torch.cat([parts[0], self.vectors, parts[1]])

    def whole(self, messages: list[dict[str, str]]) -> torch.Tensor:
        """Embed a whole conversation as the model's template writes it, for the Completions API."""
        self._check("".join(str(message.get("content")) for message in messages))
        ids = list(self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))
        start = ids.index(self.ids[0])
        return self.around(ids[:start], ids[start + len(self.ids) :])

    def user_part(self, text: str) -> torch.Tensor:
        """Embed a user's message alone, for the Chat API, whose server writes the template around it."""
        if self.slot != "user_end":
            raise SystemExit(f"This prompt stands in the slot {self.slot}, outside a user's message: leave --chat out.")
        self._check(text)
        return self.around(self.tokenizer.encode(text, add_special_tokens=False), [])

    def _check(self, text: str) -> None:
        """Refuse a text that names the prompt's tokens: it would be taken for the slot."""
        for name in self.names:
            if name in text:
                raise SystemExit(f"The message holds {name}, which marks the place of the prompt: reword it.")


def packed(embeddings: torch.Tensor) -> str:
    """Pack embeddings as vLLM takes them over the wire."""
    buffer = io.BytesIO()
    torch.save(embeddings.contiguous(), buffer)
    return base64.b64encode(buffer.getvalue()).decode()


def request(url: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Send a request to the server and return its reply."""
    data = json.dumps(body).encode()
    call = urllib.request.Request(f"{url.rstrip('/')}{path}", data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(call) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{url} refuses: {error.code} {error.read(300).decode(errors='replace')}") from error
    except OSError as error:
        raise SystemExit(f"{url} cannot be reached: {error}") from error


@contextmanager
def sentences(what: str) -> Iterator[None]:
    """End the program with a sentence where a library fails."""
    try:
        yield
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SystemExit(f"{what}: {first}") from error


def main() -> None:
    """Ask one question."""
    parser = argparse.ArgumentParser(
        description="Ask a vLLM server one question, with the soft prompt beside this file."
    )
    parser.add_argument("question")
    parser.add_argument("--url", default="http://localhost:8000/v1")
    parser.add_argument("--base", required=True, help="the base model: a hub id or a directory")
    parser.add_argument("--revision", help="its revision; by default the one that the prompt was made with")
    parser.add_argument("--trust-remote-code", action="store_true", help="run code that comes with the base model")
    parser.add_argument("--model", help="the server's name of the model; by default that of --base")
    parser.add_argument(
        "--dtype", default="bfloat16", choices=("float32", "bfloat16", "float16"), help="the server's precision"
    )
    parser.add_argument("--max-tokens", type=int, default=100)
    parser.add_argument("--chat", action="store_true", help="use the Chat API (slot user_end only)")
    options = parser.parse_args()
    with sentences(f"{options.base} cannot be loaded"):
        prompt = Prompt(Path(__file__).parent, options.base, options.revision, options.trust_remote_code)
    dtype = getattr(torch, options.dtype)
    body = {"model": options.model or options.base, "max_tokens": options.max_tokens, "cache_salt": prompt.salt}
    if options.chat:
        part = {"type": "prompt_embeds", "data": packed(prompt.user_part(options.question).to(dtype))}
        messages = [{"role": "user", "content": [part]}]
        reply = request(options.url, "/chat/completions", body | {"messages": messages})
        print(reply["choices"][0]["message"]["content"])
        return
    embeddings = prompt.whole([{"role": "user", "content": options.question}]).to(dtype)
    reply = request(options.url, "/completions", body | {"prompt_embeds": packed(embeddings)})
    print(reply["choices"][0]["text"])


if __name__ == "__main__":
    main()
