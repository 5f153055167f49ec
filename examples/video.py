"""Asks about a video: a file, an animated image, or a folder with one image file a frame.

python examples/video.py video.mp4 --question "What happens in this video?"
"""

from __future__ import annotations

import argparse
from pathlib import Path

from internvl_native import AutoModel, AutoTokenizer, load_video
from internvl_native.demo import CHECKPOINT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--question", default="What happens in this video?")
    parser.add_argument("--checkpoint", default=CHECKPOINT)
    parser.add_argument("--num-segments", type=int, default=8, help="frames to look at")
    parser.add_argument("--max-new-tokens", type=int, default=64)
    arguments = parser.parse_args()

    model = AutoModel.from_pretrained(arguments.checkpoint, torch_dtype="bfloat16").eval()
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    pixel_values, num_patches_list = load_video(
        arguments.video,
        input_size=model.config.force_image_size,
        max_num=1,
        num_segments=arguments.num_segments,
    )
    prefix = "".join(f"Frame{i}: <image>\n" for i in range(1, len(num_patches_list) + 1))
    answer = model.chat(
        tokenizer,
        pixel_values,
        prefix + arguments.question,
        {"max_new_tokens": arguments.max_new_tokens, "do_sample": False},
        num_patches_list=num_patches_list,
    )
    print(answer)


if __name__ == "__main__":
    main()
