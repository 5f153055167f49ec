"""Generates in one thread and shows the text in another, as a server would.

Usage: python examples/streaming.py CHECKPOINT IMAGE QUESTION
"""

from __future__ import annotations

import argparse
import threading

from internvl_native import AutoModel, AutoTokenizer, TextIteratorStreamer, load_image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("image")
    parser.add_argument("question")
    parser.add_argument("--max-new-tokens", type=int, default=256)
    arguments = parser.parse_args()

    model = AutoModel.from_pretrained(arguments.checkpoint, torch_dtype="bfloat16").eval()
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    pixel_values = load_image(arguments.image, max_num=12)
    # The timeout bounds the wait for the first token, which includes looking at the image.
    streamer = TextIteratorStreamer(
        tokenizer, skip_prompt=True, skip_special_tokens=True, timeout=600
    )
    generation_config = {"max_new_tokens": arguments.max_new_tokens, "streamer": streamer}
    worker = threading.Thread(
        target=model.chat,
        args=(tokenizer, pixel_values, arguments.question, generation_config),
    )
    worker.start()
    for text in streamer:
        print(text, end="", flush=True)
    print()
    worker.join()


if __name__ == "__main__":
    main()
