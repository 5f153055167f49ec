"""Asks several questions about one image, each with the conversation so far.

python examples/multi_turn.py coffee.jpg --questions "What is this?" "What colour is it?"
"""

from __future__ import annotations

import argparse
from pathlib import Path

from internvl_native import AutoModel, AutoTokenizer, load_image
from internvl_native.demo import CHECKPOINT, PICTURES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("image", nargs="?", type=Path, default=PICTURES / "shapes.png")
    parser.add_argument("--questions", nargs="+", default=["What shape is blue?", "Where is it?"])
    parser.add_argument("--checkpoint", default=CHECKPOINT)
    parser.add_argument("--max-num", type=int, default=12, help="tiles the image may become")
    parser.add_argument("--max-new-tokens", type=int, default=64)
    arguments = parser.parse_args()

    model = AutoModel.from_pretrained(arguments.checkpoint, torch_dtype="bfloat16").eval()
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    pixel_values = load_image(
        arguments.image, model.config.force_image_size, arguments.max_num, return_tensors="np"
    )
    generation_config = {"max_new_tokens": arguments.max_new_tokens, "do_sample": False}

    # The first call puts <image> in front of the question; the history then holds it.
    history = None
    for question in arguments.questions:
        answer, history = model.chat(
            tokenizer,
            pixel_values,
            question,
            generation_config,
            history=history,
            return_history=True,
        )
        print(f"User:      {question}\nAssistant: {answer}")


if __name__ == "__main__":
    main()
