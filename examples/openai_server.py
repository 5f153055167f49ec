"""An endpoint that OpenAI's clients can talk to: /v1/models and /v1/chat/completions.

    pip install 'internvl-native[server]'
    python examples/openai_server.py --checkpoint OpenGVLab/Mini-InternVL-Chat-2B-V1-5

    client = openai.OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="any")
    client.chat.completions.create(model="Mini-InternVL-Chat-2B-V1-5", messages=[...])

Images come as data: URLs, and as http(s) URLs of the hosts that --image-host names. Decoding is
greedy unless the request has a temperature. Several requests run at once; one whose client has
gone away stops. There is no authentication: put a proxy in front before others can reach it.
"""

import argparse
import asyncio
import base64
import json
import logging
import re
import threading
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from internvl_native import AutoModel, AutoTokenizer, get_conv_template, load_image
from internvl_native.demo import CHECKPOINT

MAX_IMAGE_BYTES = 20 * 2**20
DEFAULT_MAX_TOKENS = 512
# Parameters that do not change the answer; others that are unknown are refused.
HARMLESS = frozenset({"user", "metadata", "store", "service_tier", "safety_identifier"})

logger = logging.getLogger(__name__)


# ---- what a request may hold


class ImageURL(BaseModel):
    url: str
    detail: Literal["auto", "low", "high"] = "auto"


class TextPart(BaseModel):
    type: Literal["text"]
    text: str


class ImagePart(BaseModel):
    type: Literal["image_url"]
    image_url: ImageURL


Part = Annotated[Union[TextPart, ImagePart], Field(discriminator="type")]


class Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: Union[str, list[Part]]

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))

    @property
    def images(self) -> list[ImageURL]:
        if isinstance(self.content, str):
            return []
        return [part.image_url for part in self.content if isinstance(part, ImagePart)]


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    model_config = ConfigDict(extra="allow")

    model: str
    messages: list[Message] = Field(min_length=1)
    max_tokens: Optional[int] = Field(default=None, ge=1)
    max_completion_tokens: Optional[int] = Field(default=None, ge=1)
    temperature: Optional[float] = Field(default=None, ge=0, le=2)
    top_p: Optional[float] = Field(default=None, gt=0, le=1)
    seed: Optional[int] = Field(default=None, ge=0, lt=2**63)
    stop: Union[str, list[str], None] = None
    n: Optional[int] = Field(default=None, ge=1, le=16)
    logprobs: Optional[bool] = None
    top_logprobs: Optional[int] = Field(default=None, ge=0, le=20)
    stream: Optional[bool] = None
    stream_options: Optional[StreamOptions] = None

    def check(self) -> None:
        """ApiError for what the types above cannot say."""
        for name, value in (self.model_extra or {}).items():
            if value and name not in HARMLESS:
                raise ApiError(f"{name} is not supported", param=name)
        if self.n and self.n > 1 and not self.temperature:
            raise ApiError("n: greedy decoding has one answer; set a temperature", param="n")
        if self.messages[-1].role != "user":
            raise ApiError("messages: expected the last to be the user's", param="messages")
        if any(message.images for message in self.messages if message.role != "user"):
            raise ApiError("messages: only the user's may hold images", param="messages")

    @property
    def stops(self) -> list[str]:
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [stop for stop in stops if stop]

    def options(self) -> dict[str, Any]:
        """Options of `generate`."""
        limit = self.max_completion_tokens or self.max_tokens or DEFAULT_MAX_TOKENS
        options: dict[str, Any] = {"max_new_tokens": limit, "do_sample": bool(self.temperature)}
        if self.temperature:
            options.update(
                temperature=self.temperature,
                top_p=1.0 if self.top_p is None else self.top_p,
                top_k=0,
                num_return_sequences=self.n or 1,
                seed=self.seed,
            )
        return options


class ApiError(Exception):
    """An error as OpenAI's API reports it."""

    def __init__(
        self, message: str, param: Optional[str] = None, status: int = 400, code: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        kind = "invalid_request_error" if status < 500 else "server_error"
        self.body = {
            "error": {"message": message, "type": kind, "param": param, "code": code or None}
        }

    def response(self) -> JSONResponse:
        return JSONResponse(self.body, self.status)


# ---- from messages to token ids and tiles


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        """A redirect may lead to a host that was not named: it is an error."""


_OPENER = urllib.request.build_opener(_NoRedirect)


def read_image(url: str, hosts: frozenset[str]) -> bytes:
    """The file that an image_url holds or names. OSError or ValueError if it cannot be had."""
    scheme, _, rest = url.partition(":")
    if scheme == "data":
        header, _, payload = rest.partition(",")
        if not header.endswith(";base64"):
            raise ValueError("expected a data: URL of the form data:image/jpeg;base64,...")
        data = base64.b64decode(payload, validate=True)
    elif scheme in ("http", "https") and urlsplit(url).hostname in hosts:
        with _OPENER.open(url, timeout=10) as response:
            data = response.read(MAX_IMAGE_BYTES + 1)
    else:
        raise ValueError("this server does not fetch from there; send the image as a data: URL")
    if len(data) > MAX_IMAGE_BYTES:
        raise ValueError(f"expected at most {MAX_IMAGE_BYTES} bytes")
    return data


@dataclass(frozen=True)
class Service:
    """A model, and how it is served."""

    model: Any
    tokenizer: Any
    name: str
    max_num: int = 12
    image_hosts: frozenset[str] = frozenset()
    created: int = field(default_factory=lambda: int(time.time()))

    def tiles(self, image: ImageURL) -> npt.NDArray[np.float32]:
        config = self.model.config
        try:
            tiles: npt.NDArray[np.float32] = load_image(
                read_image(image.url, self.image_hosts),
                input_size=config.force_image_size or config.vision_config.image_size,
                max_num=1 if image.detail == "low" else self.max_num,
                use_thumbnail=config.use_thumbnail,
                return_tensors="np",
            )
        except (OSError, ValueError) as error:
            raise ApiError(f"image_url: {error}", param="messages") from error
        return tiles

    def inputs(self, request: ChatRequest) -> dict[str, Any]:
        """`pixel_values`, `input_ids` and `attention_mask`: the prompt that `chat` would make, with
        the images of a message in front of its text."""
        conversation = get_conv_template(self.model.template)
        system = [m.text for m in request.messages if m.role in ("system", "developer")]
        conversation.system_message = "\n".join(system) if system else self.model.system_message
        turns = [m for m in request.messages if m.role in ("user", "assistant")]
        several = sum(len(message.images) for message in turns) > 1
        pixel_values: list[npt.NDArray[np.float32]] = []
        for message in turns:
            text = ""
            for image in message.images:
                pixel_values.append(self.tiles(image))
                label = f"Image-{len(pixel_values)}: " if several else ""
                tokens = self.model.num_image_token * len(pixel_values[-1])
                text += f"{label}<img>{'<IMG_CONTEXT>' * tokens}</img>\n"
            role = conversation.roles[message.role == "assistant"]
            conversation.append_message(role, text + message.text)
        conversation.append_message(conversation.roles[1], None)
        encoded = self.tokenizer([conversation.get_prompt()], return_tensors="np")
        ids = encoded["input_ids"]
        features = self.model.num_image_token * sum(map(len, pixel_values))
        if (ids == self.model.img_context_token_id).sum() != features:
            raise ApiError("messages: text may not hold <IMG_CONTEXT>", param="messages")
        return {
            "pixel_values": np.concatenate(pixel_values) if pixel_values else None,
            "input_ids": ids,
            "attention_mask": encoded["attention_mask"],
        }


# ---- generation


class Choice:
    """One answer as it grows: text that later tokens may still change is held back."""

    def __init__(self, index: int, service: Service, stops: list[str]) -> None:
        self.index = index
        self.tokens: list[int] = []
        self.finish_reason: Optional[str] = None
        self._tokenizer = service.tokenizer
        self._stops = stops
        self._sent = 0

    def add(self, token: int, end_token: int) -> str:
        """The text that a token brings."""
        self.tokens.append(token)
        if token == end_token:
            return self.finish("stop")
        text = self._text()
        ends = [text.find(stop) for stop in self._stops if stop in text]
        if ends:
            return self._send(text[: min(ends)].rstrip(), "stop")
        # What may become a stop sequence, a character whose bytes are not complete, and white
        # space that may be the last.
        safe = len(text)
        for stop in self._stops:
            held = (n for n in range(len(stop) - 1, 0, -1) if text.endswith(stop[:n]))
            safe = min(safe, len(text) - next(held, 0))
        return self._send(text[:safe].rstrip("\ufffd").rstrip())

    def finish(self, reason: str) -> str:
        """The text held back so far."""
        return self._send(self._text().rstrip(), reason)

    def _text(self) -> str:
        text: str = self._tokenizer.decode(self.tokens, skip_special_tokens=True)
        return text.lstrip()

    def _send(self, text: str, finish_reason: Optional[str] = None) -> str:
        self.finish_reason = finish_reason
        new = text[self._sent :]
        self._sent = max(self._sent, len(text))
        return new


@dataclass(frozen=True)
class Delta:
    """What one token adds to a choice."""

    index: int
    text: str
    logprob: Optional[dict[str, Any]]
    finish_reason: Optional[str]


class Generation:
    """One request on its way through `model.generate`, of which it is the streamer, a stopping
    criterion and, for log probabilities, a logits processor."""

    def __init__(self, service: Service, request: ChatRequest, inputs: dict[str, Any]) -> None:
        self._service = service
        self._inputs = inputs
        self._options = request.options()
        self._top_logprobs = (request.top_logprobs or 0) if request.logprobs else None
        self._logprobs: Optional[npt.NDArray[np.float32]] = None
        sep = get_conv_template(service.model.template).sep.strip()
        self._end_token: int = service.tokenizer.convert_tokens_to_ids(sep)
        self.choices = [Choice(i, service, request.stops) for i in range(request.n or 1)]
        self._cancelled = threading.Event()
        self._prompt_seen = False

    def run(self, emit: Callable[[Delta], None]) -> None:
        """Generates; `emit` is called in this thread."""
        if self._cancelled.is_set():
            return
        self._emit = emit
        processors = [] if self._top_logprobs is None else [self._note_logprobs]
        self._service.model.generate(
            **self._inputs,
            **self._options,
            eos_token_id=self._end_token,
            streamer=self,
            stopping_criteria=[self._is_done],
            logits_processor=processors,
        )
        for choice in self.choices:
            if choice.finish_reason is None:
                text = choice.finish("length")
                emit(Delta(choice.index, text, None, choice.finish_reason))

    def cancel(self) -> None:
        """Ends the generation with the token that it is at."""
        self._cancelled.set()

    def usage(self) -> dict[str, int]:
        prompt = int(self._inputs["input_ids"].size)
        completion = sum(len(choice.tokens) for choice in self.choices)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }

    def put(self, tokens: Any) -> None:
        if not self._prompt_seen:  # the first call brings the prompt
            self._prompt_seen = True
            return
        for choice, token in zip(self.choices, tokens.tolist()):
            if choice.finish_reason is None:
                text = choice.add(token, self._end_token)
                logprob = None if token == self._end_token else self._logprob(choice.index, token)
                self._emit(Delta(choice.index, text, logprob, choice.finish_reason))

    def end(self) -> None:
        pass

    def _is_done(self, input_ids: Any, scores: Any) -> bool:
        return self._cancelled.is_set() or all(c.finish_reason for c in self.choices)

    def _note_logprobs(self, input_ids: Any, scores: Any) -> Any:
        shifted = np.asarray(scores) - np.max(scores, axis=1, keepdims=True)
        self._logprobs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return scores

    def _logprob(self, row: int, token: int) -> Optional[dict[str, Any]]:
        if self._logprobs is None or self._top_logprobs is None:
            return None
        values = self._logprobs[row]
        best = np.argsort(-values, kind="stable")[: self._top_logprobs].tolist()
        return {
            **self._logprob_entry(values, token),
            "top_logprobs": [self._logprob_entry(values, other) for other in best],
        }

    def _logprob_entry(self, values: npt.NDArray[np.float32], token: int) -> dict[str, Any]:
        piece: str = self._service.tokenizer.convert_ids_to_tokens(token)
        byte = re.fullmatch("<0x([0-9A-F]{2})>", piece)
        raw = bytes.fromhex(byte[1]) if byte else piece.replace("\u2581", " ").encode()
        # Not JSON: the probability of a suppressed token is 0.
        logprob = max(float(values[token]), -9999.0)
        return {"token": raw.decode(errors="replace"), "logprob": logprob, "bytes": list(raw)}


# ---- HTTP


def completion_head(service: Service, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": service.name,
    }


def logprobs_field(entries: list[dict[str, Any]]) -> Optional[dict[str, Any]]:
    return {"content": entries} if entries else None


async def deltas(generation: Generation, executor: ThreadPoolExecutor) -> AsyncIterator[Delta]:
    """Runs a generation in a thread; leaving the iterator cancels it."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Optional[Delta]] = asyncio.Queue()

    def emit(delta: Optional[Delta]) -> None:
        loop.call_soon_threadsafe(queue.put_nowait, delta)

    future = loop.run_in_executor(executor, generation.run, emit)
    future.add_done_callback(lambda _: queue.put_nowait(None))
    try:
        while (delta := await queue.get()) is not None:
            yield delta
        await future
    finally:
        generation.cancel()


async def answer(
    service: Service, generation: Generation, executor: ThreadPoolExecutor, http: Request
) -> Response:
    """The whole completion at once; nobody is there to read it once the client has gone."""
    texts = [""] * len(generation.choices)
    logprobs: list[list[dict[str, Any]]] = [[] for _ in texts]
    async for delta in deltas(generation, executor):
        texts[delta.index] += delta.text
        logprobs[delta.index] += [delta.logprob] if delta.logprob else []
        if await http.is_disconnected():
            return Response(status_code=499)
    choices = [
        {
            "index": choice.index,
            "message": {"role": "assistant", "content": texts[choice.index], "refusal": None},
            "logprobs": logprobs_field(logprobs[choice.index]),
            "finish_reason": choice.finish_reason,
        }
        for choice in generation.choices
    ]
    head = completion_head(service, "chat.completion")
    return JSONResponse({**head, "choices": choices, "usage": generation.usage()})


async def stream(
    service: Service, generation: Generation, executor: ThreadPoolExecutor, with_usage: bool
) -> AsyncIterator[str]:
    """The completion as server-sent events, a chunk for each new piece of text."""
    head = completion_head(service, "chat.completion.chunk")

    def event(choices: list[dict[str, Any]], usage: Optional[dict[str, int]] = None) -> str:
        extra = {"usage": usage} if with_usage else {}
        return f"data: {json.dumps({**head, 'choices': choices, **extra})}\n\n"

    def choice(index: int, delta: dict[str, str], **fields: Any) -> dict[str, Any]:
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None, **fields}

    try:
        for row in generation.choices:
            yield event([choice(row.index, {"role": "assistant", "content": ""})])
        async for delta in deltas(generation, executor):
            if delta.text or delta.logprob:
                logprobs = logprobs_field([delta.logprob] if delta.logprob else [])
                yield event([choice(delta.index, {"content": delta.text}, logprobs=logprobs)])
            if delta.finish_reason:
                yield event([choice(delta.index, {}, finish_reason=delta.finish_reason)])
        if with_usage:
            yield event([], generation.usage())
        yield "data: [DONE]\n\n"
    except Exception as error:  # the status has been sent: what is left is an event
        logger.exception("generation failed")
        yield f"data: {json.dumps(ApiError(str(error), status=500).body)}\n\n"
    finally:
        generation.cancel()


def build_app(service: Service, max_concurrent: int = 4) -> FastAPI:
    """The endpoint; requests beyond `max_concurrent` wait for their turn."""
    app = FastAPI(title="internvl-native")
    executor = ThreadPoolExecutor(max_concurrent)
    card = {
        "id": service.name,
        "object": "model",
        "created": service.created,
        "owned_by": "internvl-native",
    }

    def check_name(name: str) -> None:
        if name != service.name:
            raise ApiError(
                f"model: this server has {service.name!r}, not {name!r}",
                param="model",
                status=404,
                code="model_not_found",
            )

    @app.get("/v1/models")
    def list_models() -> dict[str, Any]:
        return {"object": "list", "data": [card]}

    @app.get("/v1/models/{name}")
    def retrieve_model(name: str) -> dict[str, Any]:
        check_name(name)
        return card

    @app.post("/v1/chat/completions")
    async def chat_completions(request: ChatRequest, http: Request) -> Response:
        check_name(request.model)
        request.check()
        inputs = await asyncio.to_thread(service.inputs, request)
        generation = Generation(service, request, inputs)
        if not request.stream:
            return await answer(service, generation, executor, http)
        with_usage = bool(request.stream_options and request.stream_options.include_usage)
        events = stream(service, generation, executor, with_usage)
        return StreamingResponse(events, media_type="text/event-stream")

    @app.exception_handler(ApiError)
    def api_error(_: Request, error: ApiError) -> JSONResponse:
        return error.response()

    @app.exception_handler(RequestValidationError)
    def validation_error(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        is_json = first["type"] != "json_invalid"  # otherwise loc is a position in the text
        param = ".".join(map(str, first["loc"][1:])) if is_json else None
        return ApiError(f"{param or 'body'}: {first['msg']}", param=param).response()

    @app.exception_handler(HTTPException)
    def http_error(_: Request, error: HTTPException) -> JSONResponse:
        return ApiError(str(error.detail), status=error.status_code).response()

    @app.exception_handler(Exception)
    def server_error(_: Request, error: Exception) -> JSONResponse:
        return ApiError(f"{type(error).__name__}: {error}", status=500).response()

    return app


def load_service(checkpoint: Any, torch_dtype: str = "bfloat16", **options: Any) -> Service:
    model = AutoModel.from_pretrained(checkpoint, torch_dtype=torch_dtype).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model.img_context_token_id = tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")
    return Service(model, tokenizer, Path(checkpoint).name, **options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--checkpoint", default=CHECKPOINT)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--max-num", type=int, default=12, help="tiles an image may become")
    parser.add_argument("--max-concurrent", type=int, default=4, help="requests computed at once")
    parser.add_argument("--image-host", action="append", default=[], help="fetch images from here")
    arguments = parser.parse_args()

    service = load_service(
        arguments.checkpoint,
        arguments.dtype,
        max_num=arguments.max_num,
        image_hosts=frozenset(arguments.image_host),
    )
    app = build_app(service, arguments.max_concurrent)
    uvicorn.run(app, host=arguments.host, port=arguments.port)


if __name__ == "__main__":
    main()
