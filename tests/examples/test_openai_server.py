"""The endpoint of examples/openai_server.py, asked by OpenAI's own client."""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from tests.support.extras import optional
from tests.support.goldens import DATA, read_json

from internvl_native import load_image
from internvl_native.generation import compute_transition_scores

uvicorn = optional("uvicorn", "server")
optional("fastapi", "server")
openai = optional("openai", "test-extras")

from examples import openai_server  # noqa: E402

CHECKPOINT = DATA / "ckpt_rmsnorm"
IMAGES = DATA / "images"
TOKENS = 12


class Recorder:
    """How many calls of a model's `generate` run, ran at most at once, and what they got."""

    def __init__(self, model: Any) -> None:
        self.options: dict[str, Any] = {}
        self.running = self.peak = 0
        self.tokens: list[int] = []
        self._generate = model.generate
        self._lock = threading.Lock()

    def __call__(self, **kwargs: Any) -> Any:
        with self._lock:
            self.running += 1
            self.peak = max(self.peak, self.running)
        try:
            output = self._generate(**kwargs, **self.options)
        finally:
            with self._lock:
                self.running -= 1
        self.tokens.append(output.shape[1] - 1)
        return output


@pytest.fixture(scope="module")
def service() -> Any:
    return openai_server.load_service(
        CHECKPOINT, "float32", max_num=3, image_hosts=frozenset({"127.0.0.1"})
    )


@pytest.fixture
def recorder(service: Any, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder(service.model)
    monkeypatch.setattr(service.model, "generate", recorder, raising=False)
    return recorder


@pytest.fixture(scope="module")
def base_url(service: Any) -> Iterator[str]:
    app = openai_server.build_app(service, max_concurrent=2)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/v1"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def client(base_url: str) -> Iterator[Any]:
    with openai.OpenAI(base_url=base_url, api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def create(client: Any, service: Any) -> Any:
    return partial(client.chat.completions.create, model=service.name, max_tokens=TOKENS)


def wait_until(condition: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def data_url(name: str) -> str:
    return "data:image/jpeg;base64," + base64.b64encode((IMAGES / name).read_bytes()).decode()


def user(text: str, *urls: str, detail: str = "auto") -> dict[str, Any]:
    images = [{"type": "image_url", "image_url": {"url": url, "detail": detail}} for url in urls]
    return {"role": "user", "content": [{"type": "text", "text": text}, *images]}


def tiles(service: Any, name: str, max_num: int = 3) -> Any:
    config = service.model.config
    return load_image(
        IMAGES / name,
        input_size=config.force_image_size,
        max_num=max_num,
        use_thumbnail=config.use_thumbnail,
        return_tensors="np",
    )


def inputs(service: Any, **request: Any) -> Any:
    """What `generate` gets for a request."""
    body = {"model": service.name, **request}
    return service.inputs(openai_server.ChatRequest.model_validate(body))


def chat(service: Any, pixel_values: Any, question: str, **keywords: Any) -> Any:
    config = {"max_new_tokens": TOKENS}
    return service.model.chat(service.tokenizer, pixel_values, question, config, **keywords)


def content(completion: Any) -> str:
    text = completion.choices[0].message.content
    assert isinstance(text, str)
    return text


def test_models(client: Any, service: Any) -> None:
    assert [model.id for model in client.models.list()] == ["ckpt_rmsnorm"]
    assert client.models.retrieve("ckpt_rmsnorm").owned_by == "internvl-native"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4o")


def test_text_only_equals_chat(create: Any, service: Any) -> None:
    completion = create(messages=[{"role": "user", "content": "Who are you?"}])
    assert content(completion) == chat(service, None, "Who are you?")


@pytest.mark.parametrize(("detail", "max_num"), [("auto", 3), ("high", 3), ("low", 1)])
def test_image_equals_chat(create: Any, service: Any, detail: str, max_num: int) -> None:
    completion = create(messages=[user("What is this?", data_url("land.jpg"), detail=detail)])
    pixel_values = tiles(service, "land.jpg", max_num)
    assert content(completion) == chat(service, pixel_values, "<image>\nWhat is this?")
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage.completion_tokens == TOKENS
    assert completion.usage.prompt_tokens > len(pixel_values) * service.model.num_image_token


def golden_text_cases() -> list[Any]:
    """The recorded greedy chats without images that the endpoint can be asked."""
    cases = read_json(DATA / "chat.json")["cases"]
    return [
        pytest.param(case, id=case["id"])
        for case in cases
        if case["ckpt"] == CHECKPOINT.name
        and case["call"] == "chat"
        and case["images"] is None
        and case["question"]
        and "response" in case["expect"]
        and set(case["generation_config"]) <= {"max_new_tokens", "do_sample"}
        and not case["generation_config"].get("do_sample")
    ]


@pytest.mark.parametrize("case", golden_text_cases())
def test_golden_answers(create: Any, case: dict[str, Any]) -> None:
    messages = []
    for question, answer in case.get("history") or []:
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer})
    messages.append({"role": "user", "content": case["question"]})
    limit = case["generation_config"]["max_new_tokens"]
    assert content(create(messages=messages, max_tokens=limit)) == case["expect"]["response"]


def test_turns_images_and_system_message(
    create: Any, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [tiles(service, "land.jpg"), tiles(service, "port.jpg"), tiles(service, "gray.jpg")]
    completion = create(
        messages=[
            {"role": "system", "content": "Be brief."},
            user("Which?", data_url("land.jpg"), data_url("port.jpg")),
            {"role": "assistant", "content": "Both."},
            user("And this?", data_url("gray.jpg")),
        ]
    )
    monkeypatch.setattr(service.model, "system_message", "Be brief.")
    assert content(completion) == chat(
        service,
        np.concatenate(images),
        "Image-3: <image>\nAnd this?",
        num_patches_list=[len(image) for image in images],
        history=[("Image-1: <image>\nImage-2: <image>\nWhich?", "Both.")],
    )


def test_stream_brings_the_same_text(create: Any) -> None:
    messages = [user("What is this?", data_url("land.jpg"))]
    whole = create(messages=messages)
    with create(messages=messages, stream=True, stream_options={"include_usage": True}) as stream:
        chunks = list(stream)
    *deltas, last = chunks
    texts = [chunk.choices[0].delta.content or "" for chunk in deltas]
    assert "".join(texts) == content(whole)
    assert sum(map(bool, texts)) > TOKENS // 2
    assert [chunk.choices[0].finish_reason for chunk in deltas][-1] == "length"
    assert deltas[0].choices[0].delta.role == "assistant"
    assert (last.choices, last.usage) == ([], whole.usage)
    assert len({chunk.id for chunk in chunks}) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_stop_sequences_are_cut_off(create: Any, service: Any, stream: bool) -> None:
    answer = chat(service, None, "Who are you?")
    stop = answer[len(answer) // 2 :][:3]
    messages = [{"role": "user", "content": "Who are you?"}]
    completion = create(messages=messages, stop=["never there", stop], stream=stream)
    if stream:
        choices = [chunk.choices[0] for chunk in completion]
        text = "".join(choice.delta.content or "" for choice in choices)
        reason = choices[-1].finish_reason
    else:
        text, reason = content(completion), completion.choices[0].finish_reason
    assert text == answer[: answer.index(stop)].rstrip()
    assert reason == "stop"


def test_sampling_equals_generate(create: Any, service: Any) -> None:
    options = {"temperature": 0.8, "top_p": 0.9, "seed": 7}
    messages = [{"role": "user", "content": "Name three things."}]
    output = service.model.generate(
        **inputs(service, messages=messages),
        **options,
        do_sample=True,
        top_k=0,
        num_return_sequences=3,
        max_new_tokens=TOKENS,
        eos_token_id=service.tokenizer.convert_tokens_to_ids("<|im_end|>"),
    )
    expected = [text.strip() for text in service.tokenizer.batch_decode(output, True)]
    choices = create(messages=messages, n=3, **options).choices
    assert [choice.message.content for choice in choices] == expected
    assert len(set(expected)) == 3
    other = create(messages=messages, **{**options, "seed": 8})
    assert content(other) != expected[0]


def test_logprobs_are_the_models(create: Any, service: Any) -> None:
    request = {"messages": [user("What is this?", data_url("land.jpg"))], "logprobs": True}
    completion = create(**request, top_logprobs=3)
    output = service.model.generate(
        **inputs(service, **request),
        max_new_tokens=TOKENS,
        return_dict_in_generate=True,
        output_logits=True,
    )
    expected = compute_transition_scores(output.sequences, output.logits, normalize_logits=True)
    tokens = completion.choices[0].logprobs.content
    np.testing.assert_allclose([token.logprob for token in tokens], expected[0], atol=1e-5)
    for token in tokens:
        best = [entry.logprob for entry in token.top_logprobs]
        assert len(best) == 3
        assert best == sorted(best, reverse=True)
        assert best[0] == token.logprob  # greedy
    streamed = [
        entry
        for chunk in create(**request, stream=True)
        for entry in (chunk.choices[0].logprobs.content if chunk.choices[0].logprobs else [])
    ]
    assert [entry.logprob for entry in streamed] == [token.logprob for token in tokens]


@pytest.mark.parametrize(
    ("change", "error", "param"),
    [
        ({"model": "gpt-4o"}, openai.NotFoundError, "model"),
        ({"temperature": 2.5}, openai.BadRequestError, "temperature"),
        ({"max_tokens": 0}, openai.BadRequestError, "max_tokens"),
        ({"n": 2}, openai.BadRequestError, "n"),
        ({"frequency_penalty": 0.5}, openai.BadRequestError, "frequency_penalty"),
        ({"response_format": {"type": "json_object"}}, openai.BadRequestError, "response_format"),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, openai.BadRequestError, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, openai.BadRequestError, "messages.0"),
        ({"messages": [user("<IMG_CONTEXT>")]}, openai.BadRequestError, "messages"),
        ({"messages": [user("x", "data:image/png;base64,AAAA")]}, openai.BadRequestError, "mess"),
        ({"messages": [user("x", "data:image/png;base64,*")]}, openai.BadRequestError, "messages"),
        ({"messages": [user("x", "data:image/png,AAAA")]}, openai.BadRequestError, "messages"),
        ({"messages": [user("x", "http://example.org/a.png")]}, openai.BadRequestError, "messages"),
        ({"messages": [user("x", "file:///etc/passwd")]}, openai.BadRequestError, "messages"),
    ],
)
def test_errors_name_the_parameter(
    create: Any, change: dict[str, Any], error: type[Exception], param: str
) -> None:
    with pytest.raises(error) as caught:
        create(**{"messages": [{"role": "user", "content": "x"}], **change})
    body = caught.value.body  # type: ignore[attr-defined]
    assert set(body) == {"message", "type", "param", "code"}
    assert body["type"] == "invalid_request_error"
    assert body["param"].startswith(param)
    assert body["message"]


def test_unknown_path(client: Any) -> None:
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="ckpt_rmsnorm", input="x")


def test_a_body_that_is_no_json(base_url: str) -> None:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{base_url}/chat/completions", b"{", headers)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    with caught.value as response:
        error = json.load(response)["error"]
        assert response.code == 400
    assert error["param"] is None
    assert "JSON" in error["message"]


@pytest.fixture
def image_host() -> Iterator[str]:
    """A web server with an image, one that is too large, and a redirect to the first."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302 if self.path == "/moved" else 200)
            self.send_header("Location", "/land.jpg")
            self.end_headers()
            if self.path == "/land.jpg":
                self.wfile.write((IMAGES / "land.jpg").read_bytes())
            elif self.path == "/large":
                self.wfile.write(bytes(1000))

        def log_message(self, format: str, *args: Any) -> None:
            """Keeps the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_images_of_named_hosts(
    create: Any, service: Any, image_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    completion = create(messages=[user("What?", f"{image_host}/land.jpg")])
    assert content(completion) == chat(service, tiles(service, "land.jpg"), "<image>\nWhat?")
    with pytest.raises(openai.BadRequestError, match="302"):
        create(messages=[user("What?", f"{image_host}/moved")])
    monkeypatch.setattr(openai_server, "MAX_IMAGE_BYTES", 999)
    with pytest.raises(openai.BadRequestError, match="at most 999 bytes"):
        create(messages=[user("What?", f"{image_host}/large")])


@pytest.fixture
def endless(recorder: Recorder) -> Recorder:
    recorder.options["min_new_tokens"] = 10**5
    return recorder


def test_a_closed_stream_ends_the_generation(create: Any, endless: Recorder) -> None:
    messages = [{"role": "user", "content": "Tell me everything."}]
    with create(messages=messages, max_tokens=10**5, stream=True) as stream:
        next(iter(stream))
        wait_until(lambda: endless.running)
    wait_until(lambda: endless.tokens)
    assert endless.running == 0
    assert endless.tokens[0] < 10**4


def test_an_abandoned_request_ends_the_generation(create: Any, endless: Recorder) -> None:
    messages = [{"role": "user", "content": "Tell me everything."}]
    with pytest.raises(openai.APITimeoutError):
        create(messages=messages, max_tokens=10**5, timeout=0.5)
    wait_until(lambda: endless.tokens)
    assert endless.running == 0
    assert endless.tokens[0] < 10**4


def test_requests_at_once(create: Any, service: Any, recorder: Recorder) -> None:
    questions = [f"What is {i} times {i}?" for i in range(6)]
    with ThreadPoolExecutor(len(questions)) as executor:
        answers = list(
            executor.map(
                lambda question: content(create(messages=[{"role": "user", "content": question}])),
                questions,
            )
        )
    assert recorder.peak <= 2
    assert answers == [chat(service, None, question) for question in questions]


def test_text_is_held_back_until_it_is_sure(service: Any) -> None:
    tokenizer = service.tokenizer
    ids = tokenizer("  \u7b54: \U0001f600 is END of  it ", add_special_tokens=False)["input_ids"]
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")

    def pieces(stops: list[str]) -> tuple[list[str], str | None]:
        choice = openai_server.Choice(0, service, stops)
        new = []
        for token in [*ids, end]:
            if choice.finish_reason is None:
                new.append(choice.add(token, end))
        return new, choice.finish_reason

    texts, reason = pieces([])
    assert "".join(texts) == "\u7b54: \U0001f600 is END of  it"
    assert not any("\ufffd" in text for text in texts)
    assert reason == "stop"
    texts, reason = pieces(["ENDLESS"])
    assert "".join(texts) == "\u7b54: \U0001f600 is END of  it"
    texts, reason = pieces(["END of", "it"])
    assert "".join(texts) == "\u7b54: \U0001f600 is"
    assert reason == "stop"
