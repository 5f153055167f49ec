"""`internvl-native demo`: the checkpoint that comes with the package answers about drawings."""

from __future__ import annotations

import argparse
import time

from internvl_native import AutoModel, AutoTokenizer, load_image, set_num_threads
from internvl_native.cli.options import DTYPES, integer
from internvl_native.demo import CHECKPOINT, PICTURES, questions

EXAMPLES = f"""\
examples:
  internvl-native demo --dtype float32
  internvl-native chat {CHECKPOINT} --image drawing.png "What does the text say?"

The model is small and knows drawings and documents like those shown, not photographs.
"""
MAX_NUM = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options and help."""
    parser.usage = "%(prog)s [options]"
    parser.description = "Asks a small trained model about pictures that it has never seen."
    parser.epilog = EXAMPLES
    parser.add_argument("--dtype", choices=DTYPES, default="auto", help="default: bfloat16")
    parser.add_argument(
        "--threads", type=integer(1), metavar="N", help="default: the CPUs the process may use"
    )


def run(arguments: argparse.Namespace) -> int:
    """Asks, and says what is right and how long it took."""
    if arguments.threads is not None:
        set_num_threads(arguments.threads)
    start = time.perf_counter()
    model = AutoModel.from_pretrained(CHECKPOINT, torch_dtype=arguments.dtype)
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
    loaded = time.perf_counter()
    asked, shown, right = questions(), None, 0
    for picture, _, question, expected in asked:
        if picture != shown:
            pixel_values = load_image(
                picture, model.config.force_image_size, MAX_NUM, return_tensors="np"
            )
            print(f"\n{picture.as_uri()}   {len(pixel_values)} tiles")
            shown = picture
        answer = model.chat(tokenizer, pixel_values, question, {"max_new_tokens": 64})
        right += answer == expected
        verdict = "right" if answer == expected else f"wrong, it is {expected}"
        print(f"  User:      {question}\n  Assistant: {answer}   ({verdict})", flush=True)
    answered = time.perf_counter()
    print(
        f"\n{right} of {len(asked)} right. Loading took {loaded - start:.2f} s, seeing and "
        f"answering {answered - loaded:.2f} s.\n"
        f"The pictures are in {PICTURES}. Draw your own and ask:\n"
        f'  internvl-native chat {CHECKPOINT} --image FILE "What does the text say?"'
    )
    return 0
