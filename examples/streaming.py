"""Generates in one thread and shows the text in another, as a server would.

python examples/streaming.py coffee.jpg --question "What is on the table?"
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from internvl_native import AutoModel, AutoTokenizer, TextIteratorStreamer, load_image
from internvl_native.demo import CHECKPOINT, PICTURES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("image", nargs="?", type=Path, default=PICTURES / "shapes.png")
    parser.add_argument("--question", default="Please describe the image.")
    parser.add_argument("--checkpoint", default=CHECKPOINT)
    parser.add_argument("--max-num", type=int, default=12, help="tiles the image may become")
    parser.add_argument("--max-new-tokens", type=int, default=64)
    arguments = parser.parse_args()

    model = AutoModel.from_pretrained(arguments.checkpoint, torch_dtype="bfloat16").eval()
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    pixel_values = load_image(
        arguments.image, model.config.force_image_size, arguments.max_num, return_tensors="np"
    )
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
    generation_config = {"max_new_tokens": arguments.max_new_tokens, "streamer": streamer}
    with ThreadPoolExecutor(max_workers=1) as executor:
        answer = executor.submit(
            model.chat, tokenizer, pixel_values, arguments.question, generation_config
        )
        for text in streamer:  # ends with the answer, and also if chat raises
            print(text, end="", flush=True)
        print()
        answer.result()  # raises what chat raised


if __name__ == "__main__":
    main()
