"""A chat about images in the browser: several images, several turns, streamed, with a stop button.

pip install 'internvl-native[web]'
python examples/web_chat.py --checkpoint OpenGVLab/Mini-InternVL-Chat-2B-V1-5
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gradio as gr
import numpy as np

from internvl_native import AutoModel, AutoTokenizer, TextIteratorStreamer, load_image
from internvl_native.demo import CHECKPOINT

REFRESH_SECONDS = 0.05  # a browser that draws every token falls behind, and its buttons with it


class Conversation:
    """The arguments of `model.chat` for a conversation as gradio keeps it."""

    def __init__(self) -> None:
        self.images: list[str] = []
        self.turns: list[tuple[str, str]] = []

    def question(self, text: str, images: list[str]) -> str:
        """A question with a numbered tag for each of its images in front."""
        first = len(self.images) + 1
        self.images += images
        tags = (f"Image-{number}: <image>\n" for number in range(first, len(self.images) + 1))
        return "".join(tags) + text

    def add_history(self, messages: list[dict[str, Any]]) -> None:
        """Earlier messages: a question is any number of images and texts, then comes an answer."""
        images: list[str] = []
        texts: list[str] = []
        for message in messages:
            parts = message["content"]
            for part in parts if isinstance(parts, list) else [{"type": "text", "text": parts}]:
                if message["role"] == "assistant":
                    self.turns.append((self.question("\n".join(texts), images), part["text"]))
                    images, texts = [], []
                elif part["type"] == "file":
                    images.append(part["file"]["path"])
                else:
                    texts.append(part["text"])


def build_chat(model: Any, tokenizer: Any, max_num: int, max_new_tokens: int) -> gr.ChatInterface:
    """The page. Every visitor has a conversation; a few answers are computed at once."""

    def respond(message: dict[str, Any], history: list[dict[str, Any]]) -> Iterator[str]:
        conversation = Conversation()
        conversation.add_history(history)
        question = conversation.question(message["text"], message["files"])
        try:
            tiles = [
                load_image(image, model.config.force_image_size, max_num, return_tensors="np")
                for image in conversation.images
            ]
        except (OSError, ValueError) as error:
            raise gr.Error(f"This image cannot be read: {error}") from error
        streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
        stopped = threading.Event()
        generation_config = {
            "max_new_tokens": max_new_tokens,
            "streamer": streamer,
            "stopping_criteria": [lambda input_ids, scores: stopped.is_set()],
        }
        with ThreadPoolExecutor(max_workers=1) as executor:
            answer = executor.submit(
                model.chat,
                tokenizer,
                np.concatenate(tiles) if tiles else None,
                question,
                generation_config,
                history=conversation.turns,
                num_patches_list=[len(image) for image in tiles],
            )
            text, shown = "", 0.0
            try:
                for piece in streamer:
                    text += piece
                    if time.monotonic() - shown > REFRESH_SECONDS:
                        shown = time.monotonic()
                        yield text
                yield answer.result()
            finally:  # the stop button and a closed page end up here
                stopped.set()

    return gr.ChatInterface(
        respond,
        multimodal=True,
        title="InternVL-Chat",
        chatbot=gr.Chatbot(show_label=False, height="70vh"),
        textbox=gr.MultimodalTextbox(
            file_count="multiple",
            file_types=["image"],
            placeholder="Ask about your images",
            stop_btn=True,
        ),
        concurrency_limit=4,
        analytics_enabled=False,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--checkpoint", default=CHECKPOINT)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--max-num", type=int, default=12, help="tiles an image may become")
    parser.add_argument("--max-new-tokens", type=int, default=512)
    arguments = parser.parse_args()

    model = AutoModel.from_pretrained(arguments.checkpoint, torch_dtype="bfloat16").eval()
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    chat = build_chat(model, tokenizer, arguments.max_num, arguments.max_new_tokens)
    chat.queue().launch(server_name=arguments.host, server_port=arguments.port)


if __name__ == "__main__":
    main()
