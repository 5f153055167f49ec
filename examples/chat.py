"""Chats about images on the command line, several turns, the answer shown as it comes.

Usage: python examples/chat.py CHECKPOINT [IMAGE ...]

Every line read is a question; an empty line or end of file ends the conversation.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from internvl_native import AutoModel, AutoTokenizer, TextStreamer, load_image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("images", nargs="*")
    parser.add_argument("--max-num", type=int, default=12, help="tiles an image may become")
    parser.add_argument("--max-new-tokens", type=int, default=512)
    arguments = parser.parse_args()

    model = AutoModel.from_pretrained(arguments.checkpoint, torch_dtype="bfloat16").eval()
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    tiles = [
        load_image(image, max_num=arguments.max_num, return_tensors="np")
        for image in arguments.images
    ]
    pixel_values = np.concatenate(tiles) if tiles else None
    num_patches_list = [len(image) for image in tiles]

    history = None
    for line in sys.stdin:
        question = line.strip()
        if not question:
            break
        if history is None:
            prefix = "".join(f"Image-{i}: <image>\n" for i in range(1, len(tiles) + 1))
            question = prefix + question
        streamer = TextStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
        _, history = model.chat(
            tokenizer,
            pixel_values,
            question,
            {"max_new_tokens": arguments.max_new_tokens, "streamer": streamer},
            num_patches_list=num_patches_list,
            history=history,
            return_history=True,
        )


if __name__ == "__main__":
    main()
