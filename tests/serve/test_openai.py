"""The server over a real socket, asked by OpenAI's own client."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openai
import pytest
from architectures import small_questionnaire
from conftest import Served

from acculturate.model.interview import Interview
from acculturate.model.reply import Decoding, conversation, write_reply
from acculturate.model.template import Turn
from acculturate.survey.formats import parse_format
from acculturate.survey.questionnaire import present

NAMES = ("before_bos", "system", "user_end", "response_start", "other", "untuned")
QUESTION = [{"role": "user", "content": "What makes a good manager?"}]


def direct(served: Served, name: str, text: str, how: Decoding, seed: list[int]) -> str:
    prompt = served.prompts.by_name[name]
    sequence = conversation(served.prompts.respondent, [Turn("user", text)], prompt)
    return write_reply(served.prompts.respondent, sequence, prompt, how, np.random.default_rng(seed)).text


def test_models_are_listed_with_their_slots(served) -> None:
    listed = served.client().models.list().data
    assert [one.id for one in listed] == list(NAMES)
    assert listed[1].slot == "system"
    assert listed[1].virtual_tokens == 3
    assert served.client().models.retrieve("untuned").owned_by == "acculturate"


@pytest.mark.parametrize("name", NAMES)
def test_a_reply_is_the_one_of_direct_generation(served, name) -> None:
    answer = served.client().chat.completions.create(model=name, messages=QUESTION, temperature=0, max_tokens=12)
    assert answer.choices[0].message.content == direct(served, name, QUESTION[0]["content"], Decoding(0, 1, 12), [0])
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason in ("length", "stop")
    assert answer.model == name
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_hundred_requests_at_once_do_not_mix(served) -> None:
    rng = random.Random(0)
    asked = [
        (rng.choice(NAMES), f"Question {rng.randrange(9)}", rng.randrange(3), rng.random() < 0.5) for _ in range(100)
    ]
    client = served.client()

    def ask(one: tuple[str, str, int, bool]) -> str:
        name, text, seed, stream = one
        how = {"model": name, "messages": [{"role": "user", "content": text}], "max_tokens": 6, "seed": seed}
        if stream:
            chunks = client.chat.completions.create(**how, stream=True)
            return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        return client.chat.completions.create(**how).choices[0].message.content

    with ThreadPoolExecutor(20) as pool:
        said = list(pool.map(ask, asked))
    expected = {one: direct(served, one[0], one[1], Decoding(max_tokens=6), [one[2], 0, 0]) for one in set(asked)}
    assert said == [expected[one] for one in asked]
    assert len(set(said)) > 30


@pytest.mark.parametrize("name", NAMES)
def test_log_probabilities_are_those_that_a_run_reads(served, name) -> None:
    respondent, prompt = served.prompts.respondent, served.prompts.by_name[name]
    asked = small_questionnaire(
        *map(parse_format, ("letters/options-first/0/en", "digits/one-line/1/en", "lower/one-line/0/en"))
    )
    slot = "response_start" if prompt is None else prompt.slot
    interview = Interview(respondent, asked, slot=slot, n_tokens=0 if prompt is None else 3)
    response = interview.ask(None if prompt is None else prompt.vectors)
    compared = 0
    for f, form in enumerate(asked.formats):
        for i, item in enumerate(asked.instrument.item_ids):
            shown = present(asked.instrument, item, form)
            answer = served.client().chat.completions.create(
                model=name,
                messages=[{"role": "user", "content": shown.text}],
                max_tokens=1,
                logprobs=True,
                top_logprobs=100,
                temperature=0,
            )
            first = answer.choices[0].logprobs.content[0]
            listed = {one.token: one.logprob for one in first.top_logprobs}
            assert first.token == first.top_logprobs[0].token
            for label, option in zip(shown.labels, shown.shown, strict=True):
                if label in listed:
                    expected = response.logprobs[f, i, option] + np.log(response.mass[f, i])
                    assert listed[label] == pytest.approx(expected, abs=1e-4)
                    compared += 1
    assert compared


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_says_what_a_whole_answer_says(served, name) -> None:
    how = {
        "model": name,
        "messages": QUESTION,
        "seed": 5,
        "max_tokens": 16,
        "n": 2,
        "logprobs": True,
        "top_logprobs": 3,
        "stop": ["th", "zz"],
    }
    whole = served.client().chat.completions.create(**how)
    chunks = list(served.client().chat.completions.create(**how, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].usage == whole.usage
    for k, choice in enumerate(whole.choices):
        own = [one for chunk in chunks for one in chunk.choices if one.index == k]
        assert "".join(one.delta.content or "" for one in own) == choice.message.content
        entries = [entry for one in own if one.logprobs for entry in one.logprobs.content]
        assert entries == choice.logprobs.content
        assert [one.finish_reason for one in own if one.finish_reason] == [choice.finish_reason]
    assert whole.choices[0].message.content != whole.choices[1].message.content


def test_a_choice_of_a_seed_is_the_same_however_many_there_are(served) -> None:
    how = {"model": "system", "messages": QUESTION, "seed": -3, "max_tokens": 8}
    client = served.client().chat.completions
    alone, several = client.create(**how), client.create(**how, n=3)
    assert several.choices[0].message.content == alone.choices[0].message.content
    fresh = {
        client.create(model="system", messages=QUESTION, max_tokens=8).choices[0].message.content for _ in range(4)
    }
    assert len(fresh) > 1


def test_a_conversation_of_several_turns_and_parts(served) -> None:
    talk = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "And now?"},
    ]
    turns = [Turn("system", "Be brief."), Turn("user", "Hello"), Turn("assistant", "Hi"), Turn("user", "And now?")]
    for name in NAMES:
        prompt = served.prompts.by_name[name]
        sequence = conversation(served.prompts.respondent, turns, prompt)
        how = Decoding(0, 1, 8)
        expected = write_reply(served.prompts.respondent, sequence, prompt, how, np.random.default_rng(0)).text
        answer = served.client().chat.completions.create(model=name, messages=talk, temperature=0, max_tokens=8)
        assert answer.choices[0].message.content == expected


def test_raw_texts_and_ids_go_with_the_slots_at_an_end(served) -> None:
    tokenizer = served.prompts.respondent.tokenizer
    text = "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer.encode(text)
    client = served.client()
    for name in ("before_bos", "response_start", "untuned"):
        how = {"model": name, "temperature": 0, "max_tokens": 8, "logprobs": 2}
        one = client.completions.create(prompt=text, **how)
        two = client.completions.create(prompt=[ids, ids[:-3]], **how)
        assert one.choices[0].text == two.choices[0].text != two.choices[1].text
        assert len(one.choices[0].logprobs.tokens) == len(one.choices[0].logprobs.text_offset)
        stream = list(client.completions.create(prompt=text, **how, stream=True))
        assert "".join(chunk.choices[0].text for chunk in stream) == one.choices[0].text
        offsets = [n for chunk in stream if chunk.choices[0].logprobs for n in chunk.choices[0].logprobs.text_offset]
        assert offsets == one.choices[0].logprobs.text_offset
    chat = client.chat.completions.create(
        model="response_start", messages=[{"role": "user", "content": "Hello"}], temperature=0, max_tokens=8
    )
    raw = client.completions.create(model="response_start", prompt="<s>" + text, temperature=0, max_tokens=8)
    assert raw.choices[0].text == chat.choices[0].message.content
    assert raw.usage == chat.usage
    for name in ("system", "user_end"):
        with pytest.raises(openai.BadRequestError, match="nothing in a raw text tells"):
            client.completions.create(model=name, prompt=text)


@pytest.mark.parametrize(
    "change, status, words",
    [
        ({"model": "nobody"}, 404, "There is no model 'nobody'; choose one of before_bos"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 400, "take turns"),
        ({"messages": [{"role": "user", "content": None}]}, 400, "no text"),
        ({"temperature": 3}, 400, "'temperature' cannot be 3; expected a number from 0 to 2"),
        ({"temperature": "hot"}, 400, "'temperature' cannot be 'hot'"),
        ({"top_p": 0}, 400, "'top_p' cannot be 0; expected a number above 0"),
        ({"max_tokens": 0}, 400, "'max_tokens' cannot be 0; expected a whole number from 1"),
        ({"max_tokens": 5000}, 400, "reads 1024 at most"),
        ({"n": 17}, 400, "'n' cannot be 17"),
        ({"stop": list("abcde")}, 400, "'stop'"),
        ({"stop": ""}, 400, "none of them empty"),
        ({"stream_options": {"include_usage": "yes"}}, 400, "'stream_options'"),
        ({"top_logprobs": 3}, 400, "needs 'logprobs'"),
        ({"logprobs": True, "top_logprobs": 101}, 400, "0 to 100"),
        ({"frequency_penalty": 0.5}, 400, "does not offer it"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, 400, "does not offer it"),
        ({"extra_body": {"colour": "red"}}, 400, "knows no parameter 'colour'"),
        ({"messages": [{"role": "user", "content": "x " * 2000}]}, 400, "reads 1024 at most"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_mistakes_are_errors_in_the_shape_of_the_api(served, change, status, words, stream) -> None:
    how = {"model": "untuned", "messages": QUESTION, "max_tokens": 4, "stream": stream} | change
    with pytest.raises(openai.APIStatusError) as refused:
        served.client().chat.completions.create(**how)
    assert refused.value.status_code == status
    body = refused.value.response.json()["error"]
    assert words in body["message"]
    assert set(body) == {"message", "type", "param", "code"}
    assert body["param"] in ("messages", *change.get("extra_body", change))
    assert not served.complaints


def test_what_changes_nothing_may_be_given(served) -> None:
    answer = served.client().chat.completions.create(
        model="untuned",
        messages=QUESTION,
        max_completion_tokens=2,
        temperature=0,
        user="me",
        store=False,
        frequency_penalty=0,
        presence_penalty=0.0,
        tools=[],
        response_format={"type": "text"},
        logit_bias={},
        seed=None,
    )
    assert answer.usage.completion_tokens <= 2


def test_a_reply_without_a_limit_ends_with_the_window(served) -> None:
    text = "x " * 480
    answer = served.client().chat.completions.create(
        model="system", messages=[{"role": "user", "content": text}], temperature=0
    )
    assert answer.usage.total_tokens <= 1024


@pytest.mark.parametrize(
    "prompt, words",
    [
        ([5, 10**6], "no token 1000000; its ids end at"),
        ([-1], "from 0"),
        (["x"] * 65, "1 to 64 texts"),
        ([], "1 to 64 texts"),
    ],
)
def test_raw_texts_that_cannot_be_are_refused_by_the_parameter(served, prompt, words) -> None:
    with pytest.raises(openai.BadRequestError, match=words) as refused:
        served.client().completions.create(model="untuned", prompt=prompt)
    assert refused.value.response.json()["error"]["param"] == "prompt"
