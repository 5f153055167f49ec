"""Draws docs/images/web_chat.png: the web chat after a question about a photograph.

python -m docs.screenshot_web_chat

It needs the extras [web] and [test-extras] and Debian's chromium, which `make extras` installs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from examples.web_chat import build_chat
from tests.support.browser import ChatPage, open_browser

from internvl_native import AutoModel, AutoTokenizer
from internvl_native.demo import CHECKPOINT, PICTURES

IMAGES = Path(__file__).resolve().parent / "images"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--output", type=Path, default=IMAGES / "web_chat.png")
    parser.add_argument("--checkpoint", default=CHECKPOINT)
    arguments = parser.parse_args()

    model = AutoModel.from_pretrained(arguments.checkpoint, torch_dtype="bfloat16")
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    chat = build_chat(model, tokenizer, max_num=12, max_new_tokens=32)
    _, url, _ = chat.launch(prevent_thread_lock=True, quiet=True)
    with open_browser() as browser:
        page = ChatPage(browser, url, width=900, height=1060)
        page.ask("What is the Room?", [PICTURES / "page.png"])
        page.wait_for_answers(1)
        page.ask("What is the Name?")
        page.wait_for_answers(2)
        page.page.screenshot(path=arguments.output, animations="disabled")
    chat.close(verbose=False)


if __name__ == "__main__":
    main()
