"""Asks about a video: a file, an animated image, or a folder with one image file a frame.

Usage: python examples/video.py CHECKPOINT VIDEO [QUESTION]
"""

from __future__ import annotations

import argparse

from internvl_native import AutoModel, AutoTokenizer, load_video


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("video")
    parser.add_argument("question", nargs="?", default="What happens in this video?")
    parser.add_argument("--num-segments", type=int, default=8, help="frames to look at")
    parser.add_argument("--max-new-tokens", type=int, default=256)
    arguments = parser.parse_args()

    pixel_values, num_patches_list = load_video(
        arguments.video, max_num=1, num_segments=arguments.num_segments
    )
    model = AutoModel.from_pretrained(arguments.checkpoint, torch_dtype="bfloat16").eval()
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    prefix = "".join(f"Frame{i}: <image>\n" for i in range(1, len(num_patches_list) + 1))
    answer = model.chat(
        tokenizer,
        pixel_values,
        prefix + arguments.question,
        {"max_new_tokens": arguments.max_new_tokens},
        num_patches_list=num_patches_list,
    )
    print(answer)


if __name__ == "__main__":
    main()
