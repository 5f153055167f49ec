"""Asks a question about one image.

python examples/quick_start.py coffee.jpg --checkpoint OpenGVLab/Mini-InternVL-Chat-2B-V1-5

Without arguments, it takes a drawing and the small checkpoint that come with the package; so do the
other examples.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from internvl_native import AutoModel, AutoTokenizer, load_image
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
    generation_config = {"max_new_tokens": arguments.max_new_tokens, "do_sample": False}
    print(model.chat(tokenizer, pixel_values, "<image>\n" + arguments.question, generation_config))


if __name__ == "__main__":
    main()
