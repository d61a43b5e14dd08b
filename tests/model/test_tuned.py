"""The tuned model in transformers: batches, slots, streamers, pipelines, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from architectures import HIDDEN, VOCABULARY, saved_model_dir, tiny_model_dir
from transformers import GenerationConfig, TextIteratorStreamer, TextStreamer

from acculturate.errors import UserError
from acculturate.model.choice import ModelChoice
from acculturate.model.engine.batches import Batching
from acculturate.model.engine.forward import embed_around, virtual_tokens
from acculturate.model.fluency import reply_loss
from acculturate.model.respondent import Respondent
from acculturate.model.slot import Slot
from acculturate.model.slot_tokenizer import MARK
from acculturate.model.soft_prompt import SoftPrompt
from acculturate.model.template import Turn
from acculturate.model.tuned import TunedModel

QUESTIONS = ["Hello", "What makes a good manager?", "How important is a job with security to you? " * 4]
GREEDY = {"max_new_tokens": 10, "do_sample": False, "eos_token_id": None}
_RWKV = {"vocab_size": VOCABULARY, "hidden_size": HIDDEN, "num_hidden_layers": 2, "context_length": 2048}


@pytest.fixture(scope="module", params=["llama", "qwen2", "gemma3"])
def respondent(request, tmp_path_factory) -> Respondent:
    return Respondent(ModelChoice(str(tiny_model_dir(tmp_path_factory, request.param)), dtype="float32"))


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> Respondent:
    return Respondent(ModelChoice(str(tiny_model_dir(tmp_path_factory)), dtype="float32"))


def prompt_of(respondent: Respondent, slot: str, tokens: int = 3) -> SoftPrompt:
    vectors = np.random.default_rng(7).normal(size=(tokens, respondent.hidden)) * 3 * respondent.unit
    return SoftPrompt(vectors.astype(np.float32), slot, dict(respondent.identity))


def asked(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def by_hand(respondent: Respondent, prompt: SoftPrompt, text: str, tokens: int) -> list[int]:
    """Greedy decoding without any cache: the whole text through the model for every token."""
    sequence = respondent.chat.encode([Turn("user", text)], prompt.slot)
    soft = virtual_tokens(respondent.model, prompt.vectors)
    embeds, out = embed_around(respondent.model, sequence, soft), []
    embedding = respondent.model.get_input_embeddings()
    for _ in range(tokens):
        logits = respondent.model(inputs_embeds=embeds[None], use_cache=False).logits[0, -1]
        out.append(int(logits.argmax()))
        embeds = torch.cat([embeds, embedding(torch.tensor(out[-1:]))])
    return out


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("slot", Slot)
@torch.no_grad()
def test_padded_batches_generate_what_each_text_does_alone(respondent, slot, side) -> None:
    prompt = prompt_of(respondent, slot)
    tuned = TunedModel(respondent, prompt)
    tuned.tokenizer.padding_side = side
    inputs = tuned.tokenizer.apply_chat_template([asked(q) for q in QUESTIONS], padding=True, return_tensors="pt")
    assert (inputs["attention_mask"] == 0).any()
    together = tuned.generate(**inputs, **GREEDY)
    assert torch.equal(together[:, : inputs["input_ids"].shape[1]], inputs["input_ids"])
    for question, row in zip(QUESTIONS, together[:, inputs["input_ids"].shape[1] :].tolist(), strict=True):
        alone = tuned.tokenizer.apply_chat_template(asked(question), return_tensors="pt")
        single = tuned.generate(**alone, **GREEDY)[0, alone["input_ids"].shape[1] :].tolist()
        assert row == single == by_hand(respondent, prompt, question, 10)


def test_the_prompt_matters_and_the_model_stays_as_it_was(llama) -> None:
    ids = torch.tensor([llama.chat.encode([Turn("user", "Hello")], Slot.BEFORE_BOS).suffix])
    before = llama.model.generate(ids, **GREEDY)
    made = set()
    for slot in Slot:
        tuned = TunedModel(llama, prompt_of(llama, slot))
        inputs = tuned.tokenizer.apply_chat_template(asked("Hello"), return_tensors="pt")
        made.add(tuple(tuned.generate(**inputs, **GREEDY)[0, -10:].tolist()))
    assert len(made) == 4
    assert torch.equal(llama.model.generate(ids, **GREEDY), before)


def test_ids_without_a_mark_are_taken_where_the_slot_is_at_an_end(llama) -> None:
    for slot in (Slot.BEFORE_BOS, Slot.RESPONSE_START):
        tuned = TunedModel(llama, prompt_of(llama, slot))
        marked = tuned.tokenizer.apply_chat_template(asked("Hello"), return_tensors="pt")["input_ids"]
        plain = marked[marked != tuned.tokenizer.slot_id][None]
        assert torch.equal(tuned.generate(plain, **GREEDY)[0, -10:], tuned.generate(marked, **GREEDY)[0, -10:])
        padded = torch.nn.functional.pad(plain, (4, 0), value=tuned.tokenizer.pad_token_id)
        assert torch.equal(tuned.generate(padded, **GREEDY)[0, -10:], tuned.generate(plain, **GREEDY)[0, -10:])
    for slot in (Slot.SYSTEM, Slot.USER_END):
        with pytest.raises(UserError, match="apply_chat_template"):
            TunedModel(llama, prompt_of(llama, slot)).generate(plain, **GREEDY)


def test_a_text_of_ones_own_may_hold_the_mark_once_and_a_message_cannot(llama) -> None:
    tuned = TunedModel(llama, prompt_of(llama, Slot.USER_END))
    ids = tuned.tokenizer(f"Question: {MARK} Answer:", return_tensors="pt", add_special_tokens=False)
    assert (ids["input_ids"] == tuned.tokenizer.slot_id).sum() == 1
    assert tuned.generate(**ids, **GREEDY).shape[1] == ids["input_ids"].shape[1] + 10
    twice = tuned.tokenizer(MARK * 2, return_tensors="pt", add_special_tokens=False)
    with pytest.raises(UserError, match="2 marks"):
        tuned.generate(**twice, **GREEDY)
    said = tuned.tokenizer.apply_chat_template(asked(f"ignore {MARK} this"), return_tensors="pt")["input_ids"]
    assert (said == tuned.tokenizer.slot_id).sum() == 1


def test_the_text_of_a_conversation_encodes_to_the_same_ids(respondent) -> None:
    for slot in Slot:
        tokenizer = TunedModel(respondent, prompt_of(respondent, slot)).tokenizer
        text = tokenizer.apply_chat_template(asked("Hello there"), tokenize=False)
        assert (
            tokenizer(text, add_special_tokens=False)["input_ids"]
            == (tokenizer.apply_chat_template(asked("Hello there"))["input_ids"])
        )


def test_several_sequences_beams_and_samples_follow_their_own_rows(llama) -> None:
    tuned = TunedModel(llama, prompt_of(llama, Slot.SYSTEM))
    inputs = tuned.tokenizer.apply_chat_template([asked(q) for q in QUESTIONS], padding=True, return_tensors="pt")
    width = inputs["input_ids"].shape[1]
    how = {"max_new_tokens": 6, "eos_token_id": None}
    beams = tuned.generate(**inputs, num_beams=3, num_return_sequences=2, do_sample=False, **how)
    assert torch.equal(beams[:, :width], inputs["input_ids"].repeat_interleave(2, dim=0))
    made = []
    for _ in range(2):
        transformers.set_seed(3)
        made.append(tuned.generate(**inputs, do_sample=True, num_return_sequences=4, **how))
    assert torch.equal(*made)
    assert made[0].shape == (12, width + 6)
    assert len({tuple(row) for row in made[0][:4, width:].tolist()}) > 1
    greedy = tuned.generate(**inputs, do_sample=True, top_k=1, **how)
    assert torch.equal(greedy, tuned.generate(**inputs, do_sample=False, **how))
    whole = tuned.generate(**inputs, do_sample=False, return_dict_in_generate=True, output_scores=True, **how)
    assert torch.equal(whole.sequences, greedy)
    assert len(whole.scores) == 6


def test_a_streamer_gets_the_text_that_is_returned(llama, capsys) -> None:
    tuned = TunedModel(llama, prompt_of(llama, Slot.USER_END))
    inputs = tuned.tokenizer.apply_chat_template(asked("Hello"), return_tensors="pt")
    streamer = TextIteratorStreamer(tuned.tokenizer, skip_prompt=True, skip_special_tokens=True)
    made = tuned.generate(**inputs, **GREEDY, streamer=streamer)
    expected = tuned.tokenizer.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert "".join(streamer) == expected
    tuned.generate(**inputs, **GREEDY, streamer=TextStreamer(tuned.tokenizer))
    assert "user\nHello" in capsys.readouterr().out


def test_a_pipeline_takes_messages_batches_and_begun_replies(respondent) -> None:
    tuned = TunedModel(respondent, prompt_of(respondent, Slot.SYSTEM))
    pipe = tuned.pipeline()
    how = {"max_new_tokens": 8, "do_sample": False}
    alone = [pipe(asked(q), **how)[0]["generated_text"][-1]["content"] for q in QUESTIONS]
    together = pipe([asked(q) for q in QUESTIONS], batch_size=3, **how)
    assert [one[0]["generated_text"][-1]["content"] for one in together] == alone
    tokenizer = tuned.tokenizer
    inputs = tokenizer.apply_chat_template(asked(QUESTIONS[1]), return_tensors="pt")
    made = tuned.generate(**inputs, **how)[0, inputs["input_ids"].shape[1] :]
    assert alone[1] == tokenizer.decode(made, skip_special_tokens=True)
    begun = [*asked("Hello"), {"role": "assistant", "content": "It is"}]
    assert pipe(begun, **how)[0]["generated_text"][-1]["content"].startswith("It is")
    direct = transformers.pipeline("text-generation", model=tuned, tokenizer=tokenizer)
    assert direct(asked(QUESTIONS[0]), **how)[0]["generated_text"][-1]["content"] == alone[0]


@pytest.mark.parametrize("slot", Slot)
def test_logits_stand_at_the_ids_as_the_engine_has_them(respondent, slot) -> None:
    prompt = prompt_of(respondent, slot)
    tuned = TunedModel(respondent, prompt)
    talks = [[*asked(q), {"role": "assistant", "content": "Trust"}] for q in QUESTIONS]
    inputs = tuned.tokenizer.apply_chat_template(talks, continue_final_message=True, padding=True, return_tensors="pt")
    with torch.no_grad():
        logprobs = torch.log_softmax(tuned(**inputs).logits, dim=-1)
    n = len(respondent.chat.reply("Trust"))
    for row, ids, question in zip(logprobs, inputs["input_ids"], QUESTIONS, strict=True):
        loss = -sum(float(row[k - 1, ids[k]]) for k in range(len(ids) - n, len(ids)))
        assert loss == pytest.approx(reply_loss(respondent, question, "Trust", prompt)[0], abs=1e-4)


@torch.no_grad()
def test_logits_behind_ids_without_a_mark(llama) -> None:
    tuned = TunedModel(llama, prompt_of(llama, Slot.RESPONSE_START))
    marked = tuned.tokenizer.apply_chat_template(asked("Hello"), return_tensors="pt")["input_ids"]
    plain = marked[marked != tuned.tokenizer.slot_id][None]
    np.testing.assert_allclose(tuned(plain).logits[0, -1], tuned(marked).logits[0, -1], atol=1e-5)


def test_the_loss_of_labels_is_the_cross_entropy_of_what_follows(llama) -> None:
    tuned = TunedModel(llama, prompt_of(llama, Slot.USER_END))
    ids = tuned.tokenizer.apply_chat_template(asked("Hello"), return_tensors="pt")["input_ids"]
    labels = ids.clone()
    labels[0, :2] = -100
    out = tuned(ids, labels=labels, return_dict=True)
    targets = [(k, int(token)) for k, token in enumerate(ids[0]) if k >= 2 and token != tuned.tokenizer.slot_id]
    by_hand = [-float(out.logits[0, k - 1].log_softmax(-1)[token]) for k, token in targets]
    assert len(by_hand) == ids.shape[1] - 3
    assert float(out.loss) == pytest.approx(np.mean(by_hand), abs=1e-5)


def test_rows_that_may_not_stand_side_by_side_come_back_in_order(tmp_path) -> None:
    respondent = Respondent(ModelChoice(str(saved_model_dir(tmp_path, "RwkvConfig", _RWKV)), dtype="float32"))
    assert respondent.generated_side_by_side is Batching.ALONE
    tuned = TunedModel(respondent, prompt_of(respondent, Slot.USER_END))
    order = [QUESTIONS[2], QUESTIONS[0], QUESTIONS[1]]
    inputs = tuned.tokenizer.apply_chat_template([asked(q) for q in order], padding=True, return_tensors="pt")
    together = tuned.generate(**inputs, **GREEDY)
    for question, row in zip(order, together, strict=True):
        alone = tuned.tokenizer.apply_chat_template(asked(question), return_tensors="pt")
        assert row[-10:].tolist() == tuned.generate(**alone, **GREEDY)[0, -10:].tolist()
    with pytest.raises(UserError, match="one row at a time"):
        tuned.generate(**inputs, **GREEDY, return_dict_in_generate=True)


def test_settings_of_ones_own_end_replies_as_the_model_does(llama) -> None:
    tuned = TunedModel(llama, prompt_of(llama, Slot.USER_END))
    assert tuned.generation_config.eos_token_id == llama.ends
    inputs = tuned.tokenizer.apply_chat_template(asked("Hello"), return_tensors="pt")
    first = int(tuned.generate(**inputs, **GREEDY)[0, inputs["input_ids"].shape[1]])
    own = GenerationConfig(max_new_tokens=5, do_sample=False, eos_token_id=first)
    assert tuned.generate(**inputs, generation_config=own).shape[1] == inputs["input_ids"].shape[1] + 1
    assert own.eos_token_id == first


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"inputs_embeds": torch.zeros(1, 2, HIDDEN)}, "takes no inputs_embeds"),
        ({"past_key_values": object()}, "takes no past_key_values"),
        ({"guidance_scale": 1.5}, "takes no guidance_scale"),
        ({"generation_config": GenerationConfig(prompt_lookup_num_tokens=2)}, "takes no prompt_lookup_num_tokens"),
        ({"input_ids": torch.zeros(1, 2, dtype=torch.long)}, "Give token ids, once"),
        ({"attention_mask": torch.ones(1, 9)}, "two axes of one size"),
    ],
)
def test_what_would_leave_the_prompt_out_is_refused(llama, wrong, words) -> None:
    tuned = TunedModel(llama, prompt_of(llama, Slot.BEFORE_BOS))
    with pytest.raises(UserError, match=words):
        tuned.generate(torch.tensor([[5, 6, 7]]), **wrong)
    with pytest.raises(UserError, match="embedding ends at"):
        tuned.generate(torch.tensor([[5, 6, 10**6]]))
    for ids, why in (([[5, 6]], "torch.tensor"), (torch.zeros(0, 3, dtype=torch.long), "no rows")):
        with pytest.raises(UserError, match=why):
            tuned(ids)
    with pytest.raises(UserError, match="takes no output_attentions in forward"):
        tuned(torch.tensor([[5, 6, 7]]), output_attentions=True)
    with pytest.raises(UserError, match="two axes of the token ids"):
        tuned(torch.tensor([[5, 6, 7]]), labels=torch.zeros(1, 2, dtype=torch.long))
    with pytest.raises(UserError, match="cannot save"):
        tuned.save_pretrained("somewhere")


@pytest.mark.parametrize(
    "messages, how, words",
    [
        ("Hello", {}, "list of messages"),
        ([{"role": "tool", "content": "x"}], {}, "role 'tool'"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], {}, "no text"),
        ([{"role": "user", "content": "x"}] * 2, {}, "take turns"),
        ([{"role": "system", "content": "x"}], {}, "take turns"),
        ([{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], {}, "last message"),
        ([{"role": "user", "content": "x"}], {"add_generation_prompt": False}, "where a reply begins"),
        ([{"role": "user", "content": "x"}], {"tools": [print]}, "takes no tools"),
    ],
)
def test_what_is_no_conversation_is_refused_in_a_sentence(llama, messages, how, words) -> None:
    tokenizer = TunedModel(llama, prompt_of(llama, Slot.BEFORE_BOS)).tokenizer
    with pytest.raises(UserError, match=words):
        tokenizer.apply_chat_template(messages, **how)


def test_a_text_may_not_hold_the_mark(llama) -> None:
    tokenizer = TunedModel(llama, prompt_of(llama, Slot.USER_END)).tokenizer
    with pytest.raises(UserError, match="marks the place of the prompt"):
        tokenizer.apply_chat_template(asked(f"a {MARK} b"), tokenize=False)
    # As ids it is only text.
    ids = tokenizer.apply_chat_template(asked(f"a {MARK} b"), return_tensors="pt")["input_ids"]
    assert int((ids == tokenizer.slot_id).sum()) == 1


def test_a_prompt_of_another_width_is_refused_and_one_of_another_model_warned_of(llama) -> None:
    with pytest.raises(UserError, match="width 8"):
        TunedModel(llama, SoftPrompt(np.zeros((1, 8), np.float32), Slot.BEFORE_BOS, {}))
    with pytest.warns(UserWarning, match="found with another model"):
        TunedModel(llama, SoftPrompt(np.zeros((1, HIDDEN), np.float32), Slot.BEFORE_BOS, {"files_sha256": "0" * 64}))
