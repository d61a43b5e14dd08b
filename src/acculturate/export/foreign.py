"""Put a questionnaire to an export through the other library alone.

This file runs as a program in a process of its own and imports nothing of this package: what it finds out, anybody
finds out who follows the model card. ``foreign.py QUESTIONS ANSWERS`` reads one JSON file and writes another.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors import safe_open

Ids = Sequence[int]
Forward = Callable[[list[tuple[Ids, Ids]]], torch.Tensor]
"""Texts of one length, each around the slot, to the logits of what follows them: (texts, vocabulary)."""


def main(questions: str, answers: str) -> None:
    """Answer the questions of one file in another."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    query = json.loads(Path(questions).read_text(encoding="utf-8"))
    answer = {"gguf": llama_cpp}.get(query["kind"], by_transformers)(query)
    Path(answers).write_text(json.dumps(answer), encoding="utf-8")


def by_transformers(query: dict[str, Any]) -> dict[str, Any]:
    """Ask through transformers, with PEFT or a client where the export is for those."""
    with torch.inference_mode():
        forward = FORWARDS[query["kind"]](query)
        return _read(query, forward) | {"conversations": _conversations(query)}


def _base(query: dict[str, Any], folder: str | None = None) -> Any:
    """Load the model that the export is for, or the one in the export."""
    options: dict[str, Any] = {"trust_remote_code": query["trust_remote_code"], "dtype": torch.float32}
    if folder is None and query["revision"]:
        options["revision"] = query["revision"]
    model = transformers.AutoModelForCausalLM.from_pretrained(folder or query["base"], **options)
    return model.to(query["device"]).eval()


def _around(query: dict[str, Any]) -> Forward:
    """Stand the prompt's vectors between embeddings; they come from the prompt file."""
    model = _base(query)
    with safe_open(Path(query["export"]) / "prompt.safetensors", framework="pt") as stored:
        soft = stored.get_tensor("prompt").to(query["device"])
    table = model.get_input_embeddings()

    def embedded(ids: Ids) -> torch.Tensor:
        return table(torch.tensor(list(ids), dtype=torch.long, device=query["device"]))

    return lambda texts: _last(model, [torch.cat([embedded(a), soft, embedded(b)]) for a, b in texts])


def _by_client(query: dict[str, Any]) -> Forward:
    """Let the export's own client build whole prompts, as it sends them to a server."""
    spec = importlib.util.spec_from_file_location("client", Path(query["export"]) / "client.py")
    if spec is None or spec.loader is None:
        raise SystemExit("client.py cannot be read")
    client = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(client)
    prompt = client.Prompt(Path(query["export"]), query["base"], query["revision"], query["trust_remote_code"])
    model = _base(query)
    return lambda texts: _last(model, [prompt.around(a, b).to(query["device"]) for a, b in texts])


def _by_prompt_tuning(query: dict[str, Any]) -> Forward:
    """Let PEFT stand the prompt before everything."""
    from peft import PeftModel

    model = PeftModel.from_pretrained(_base(query), query["export"])
    return lambda texts: _last_of_ids(model, query, texts, [])


def _by_trainable_tokens(query: dict[str, Any]) -> Forward:
    """Let PEFT change the rows of some token ids, which then stand in the slot."""
    from peft import PeftModel

    model = PeftModel.from_pretrained(_base(query), query["export"])
    return lambda texts: _last_of_ids(model, query, texts, query["token_ids"])


def _by_model(query: dict[str, Any]) -> Forward:
    """Ask the model in the export by ordinary token ids."""
    model = _base(query, query["export"])
    return lambda texts: _last_of_ids(model, query, texts, query["token_ids"])


FORWARDS: dict[str, Callable[[dict[str, Any]], Forward]] = {
    "safetensors": _around,
    "embeds": _by_client,
    "peft": _by_prompt_tuning,
    "peft-tokens": _by_trainable_tokens,
    "tokens": _by_model,
}


def _last(model: Any, texts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Compute what follows each text of embeddings."""
    whole = torch.stack(list(texts))
    mask = torch.ones(whole.shape[:2], dtype=torch.long, device=whole.device)
    return model(inputs_embeds=whole, attention_mask=mask, **_last_alone(model)).logits[:, -1]


def _last_of_ids(model: Any, query: dict[str, Any], texts: list[tuple[Ids, Ids]], prompt: Ids) -> torch.Tensor:
    """Compute what follows each text of token ids, with those of the prompt in the slot."""
    ids = torch.tensor([[*a, *prompt, *b] for a, b in texts], device=query["device"])
    return model(input_ids=ids, attention_mask=torch.ones_like(ids), **_last_alone(model)).logits[:, -1]


def _last_alone(model: Any) -> dict[str, Any]:
    """Have the last logits alone computed, where the model can."""
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    keeps = "logits_to_keep" in inspect.signature(plain.forward).parameters
    return {"use_cache": False} | ({"logits_to_keep": 1} if keeps else {})


def _read(query: dict[str, Any], forward: Forward) -> dict[str, Any]:
    """Read the log-probability of every option, and the largest probability of a virtual token."""
    texts = [(one["prefix"], one["suffix"]) for one in query["sequences"]]
    logprobs: list[list[float | None]] = [[] for _ in texts]
    likeliest, virtual = 0.0, query["token_ids"]
    for places in _of_one_length(texts, query["batch"]):
        logits = forward([texts[k] for k in places]).double().cpu()
        if virtual:
            likeliest = max(likeliest, float(logits.softmax(-1)[:, virtual].max()))
            logits[:, virtual] = -torch.inf
        for k, row in zip(places, logits.log_softmax(-1), strict=True):
            logprobs[k] = [_sum(row[[i for i in ids if i >= 0]].numpy()) for ids in query["options"][k]]
    return {"logprobs": logprobs, "likeliest": likeliest if query["token_ids"] else None}


def _of_one_length(texts: Sequence[tuple[Ids, Ids]], most: int) -> Iterator[list[int]]:
    """Yield the places of texts that may share a batch without padding, which recurrent models cannot tell apart."""
    lengths = [len(a) + len(b) for a, b in texts]
    for length in sorted(set(lengths)):
        places = [k for k, own in enumerate(lengths) if own == length]
        for start in range(0, len(places), most):
            yield places[start : start + most]


def _sum(logprobs: np.ndarray) -> float | None:
    """Add probabilities up; None where there are none, as beyond the last option of a short scale."""
    if not len(logprobs):
        return None
    return float(np.logaddexp.reduce(logprobs.astype(np.float64)))


def _conversations(query: dict[str, Any]) -> list[list[int]]:
    """Turn conversations into token ids by the export's own template."""
    if not query["conversations"]:
        return []
    folder = Path(query["export"])
    if query["kind"] == "tokens":
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    else:
        options = {"revision": query["revision"]} if query["revision"] else {}
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            query["base"], trust_remote_code=query["trust_remote_code"], **options
        )
        about = json.loads((folder / "acculturate.json").read_text(encoding="utf-8"))
        tokenizer.add_tokens(about["new_tokens"], special_tokens=True)
        tokenizer.chat_template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    more = {"chat_template": query["template"]} if query["template"] else {}
    return [
        list(
            tokenizer.apply_chat_template(
                one, tokenize=True, add_generation_prompt=True, return_dict=False, **more, **query["template_options"]
            )
        )
        for one in query["conversations"]
    ]


def llama_cpp(query: dict[str, Any]) -> dict[str, Any]:
    """Ask a GGUF file through llama.cpp, with the prompt's token ids in the slot and without them."""
    xllamacpp: Any = importlib.import_module("xllamacpp")

    longest = max(len(one["prefix"]) + len(one["suffix"]) for one in query["sequences"]) + len(query["token_ids"])
    settings = xllamacpp.CommonParams()
    settings.model.path = str(Path(query["export"]) / "model.gguf")
    settings.n_ctx, settings.n_gpu_layers, settings.warmup = 3 * longest + 64, 0, False
    settings.n_parallel = 1
    settings.verbosity, settings.use_jinja = -1, True
    settings.cpuparams.n_threads = query["threads"]
    server = xllamacpp.Server(settings)
    answers = {}
    likeliest = 0.0
    for name, ids in (("logprobs", query["token_ids"]), ("untuned", [])):
        rows = []
        for one, options in zip(query["sequences"], query["options"], strict=True):
            by_id = _followers(server, [*one["prefix"], *ids, *one["suffix"]], options, query["vocabulary"])
            likeliest = max([likeliest, *(float(np.exp(by_id[i])) for i in query["token_ids"] if i in by_id)])
            rows.append([_sum(np.array([by_id[i] for i in one if i >= 0])) for one in options])
        answers[name] = rows
    return answers | {
        "likeliest": likeliest,
        "conversations": [_counted(server, one) for one in query["conversations"]],
    }


def _counted(server: Any, messages: list[dict[str, str]]) -> int:
    """Count the token ids that llama.cpp makes of a conversation by the template in the file."""
    reply = server.handle_chat_completions({"messages": messages, "max_tokens": 1, "cache_prompt": False})
    if "usage" not in reply:
        raise SystemExit(f"llama.cpp refuses a conversation: {str(reply)[:200]}")
    return int(reply["usage"]["prompt_tokens"])


def _followers(server: Any, ids: Ids, options: Sequence[Ids], vocabulary: int) -> dict[int, float]:
    """Read the log-probabilities of the likeliest tokens after a text: as many as hold all options."""
    wanted = {i for one in options for i in one if i >= 0}
    for most in (min(512, vocabulary), vocabulary):
        request = {"prompt": list(ids), "n_predict": 1, "n_probs": most, "temperature": 0.0, "cache_prompt": True}
        # An end of text would be no token to report on. The probabilities are those before any bias.
        reply = server.handle_completions(request | {"logit_bias": [[min(wanted), 1000.0]]})
        top = reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        by_id = {entry["id"]: entry["logprob"] for entry in top}
        if wanted <= set(by_id):
            return by_id
    raise SystemExit(f"llama.cpp reports no probability of the tokens {sorted(wanted - set(by_id))}")


if __name__ == "__main__":
    main(*sys.argv[1:])
