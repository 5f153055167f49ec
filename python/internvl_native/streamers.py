"""Streamers: objects that receive tokens while they are generated.

``generate(..., streamer=s)`` calls ``s.put(tokens)`` first with the prompt, of shape (batch, 1)
and holding the start token, then once a step with the new token of each row, shape (batch,);
tokens have ``.shape`` and ``.tolist()``. ``s.end()`` follows in every case, after an error too.
Streamers of transformers work as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from queue import Queue
from typing import Any

from internvl_native.arguments import kind

__all__ = ["BaseStreamer", "TextIteratorStreamer", "TextStreamer"]

# Blocks of CJK ideographs: a character of theirs is a word of its own and can be shown at once.
_IDEOGRAPHS = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


class BaseStreamer:
    """What ``generate`` expects of a streamer."""

    def put(self, value: Any) -> None:
        """Receives tokens, see the module's documentation."""
        raise NotImplementedError

    def end(self) -> None:
        """Called once after the last token."""
        raise NotImplementedError


class TextStreamer(BaseStreamer):
    """Decodes tokens and prints the text as soon as whole words are there.

    Args:
        tokenizer: object with ``decode(ids, **decode_kwargs)``.
        skip_prompt: drop what the first ``put`` brings.
        decode_kwargs: passed to ``decode``, for example ``skip_special_tokens=True``.
    """

    def __init__(self, tokenizer: Any, skip_prompt: bool = False, **decode_kwargs: Any) -> None:
        self.tokenizer = tokenizer
        self.skip_prompt = skip_prompt
        self.decode_kwargs = decode_kwargs
        self.token_cache: list[int] = []
        self.print_len = 0
        self.next_tokens_are_prompt = True

    def put(self, value: Any) -> None:
        """Adds tokens of shape (n,) or (1, n). ValueError for more than one row."""
        if len(value.shape) > 1:
            if value.shape[0] > 1:
                raise ValueError("TextStreamer only supports batch size 1")
            value = value[0]
        if self.skip_prompt and self.next_tokens_are_prompt:
            self.next_tokens_are_prompt = False
            return
        self.token_cache.extend(value.tolist())
        text = self._decode()
        if text.endswith("\n"):
            ready = text[self.print_len :]
            self._reset()
        else:
            # A word may still change with the next token, so text is shown up to the last space.
            complete = len(text) if _is_ideograph(text[-1:]) else text.rfind(" ") + 1
            ready = text[self.print_len : complete]
            self.print_len += len(ready)
        self.on_finalized_text(ready)

    def end(self) -> None:
        """Passes on what is left and starts afresh."""
        rest = ""
        try:
            if self.token_cache:
                rest = self._decode()[self.print_len :]
        finally:  # whoever waits for the end is told, also of what cannot be decoded
            self._reset()
            self.next_tokens_are_prompt = True
            self.on_finalized_text(rest, stream_end=True)

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Receives each new piece of text; this class prints it. Override to do something else."""
        print(text, flush=True, end="\n" if stream_end else "")

    def _decode(self) -> str:
        if not hasattr(self.tokenizer, "decode"):
            raise TypeError(
                f"tokenizer: expected an object with decode(), got {kind(self.tokenizer)}"
            )
        text: str = self.tokenizer.decode(self.token_cache, **self.decode_kwargs)
        return text

    def _reset(self) -> None:
        self.token_cache = []
        self.print_len = 0


class TextIteratorStreamer(TextStreamer):
    """Iterator over the text, for a consumer in another thread than ``generate``.

    Args:
        timeout: seconds that the consumer waits for a piece before ``queue.Empty`` is raised; None
            waits forever.
    """

    def __init__(
        self,
        tokenizer: Any,
        skip_prompt: bool = False,
        timeout: float | None = None,
        **decode_kwargs: Any,
    ) -> None:
        super().__init__(tokenizer, skip_prompt, **decode_kwargs)
        if isinstance(timeout, str) or not (timeout is None or hasattr(timeout, "__float__")):
            raise TypeError(f"timeout: expected seconds or None, got {timeout!r:.100}")
        self.text_queue: Queue[str | None] = Queue()
        self.stop_signal: str | None = None
        self.timeout = timeout

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Queues the text, and after the last piece the stop signal."""
        self.text_queue.put(text, timeout=self.timeout)
        if stream_end:
            self.text_queue.put(self.stop_signal, timeout=self.timeout)

    def __iter__(self) -> TextIteratorStreamer:
        return self

    def __next__(self) -> str:
        text = self.text_queue.get(timeout=self.timeout)
        if text is None or text == self.stop_signal:
            raise StopIteration
        return text


@contextmanager
def ended_on_error(streamer: Any) -> Iterator[None]:
    """Calls ``streamer.end()``, where there is one, if the block raises: nobody waits for ever."""
    try:
        yield
    except BaseException:
        end_stream(streamer)
        raise


def end_stream(streamer: Any) -> None:
    """Calls ``streamer.end()``, where there is one."""
    if hasattr(streamer, "end") and not isinstance(streamer, type):
        streamer.end()


def _is_ideograph(character: str) -> bool:
    return bool(character) and any(low <= ord(character) <= high for low, high in _IDEOGRAPHS)
