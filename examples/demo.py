"""A first look: chats about a photograph with the small checkpoint of the tests, and says how
long each stage took. `make demo` runs it.

Usage: python examples/demo.py [IMAGE] [--checkpoint FOLDER] [--question TEXT]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import internvl_native
from internvl_native import AutoModel, AutoTokenizer, load_image

DATA = Path(__file__).resolve().parents[1] / "tests" / "data"
DEMO_CHECKPOINT = DATA / "ckpt_layernorm"


class TokenClock:
    """A streamer that notes when each token came; the first `put` is the prompt."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, value: Any) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        pass

    @property
    def tokens(self) -> list[float]:
        return self.times[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("image", nargs="?", type=Path, default=DATA / "images" / "land.jpg")
    parser.add_argument("--checkpoint", default=str(DEMO_CHECKPOINT))
    parser.add_argument("--question", default="What is on the table?")
    parser.add_argument("--max-new-tokens", type=int, default=32)
    arguments = parser.parse_args()

    clock = TokenClock()
    start = time.perf_counter()
    model = AutoModel.from_pretrained(arguments.checkpoint, torch_dtype="bfloat16").eval()
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    loaded = time.perf_counter()
    pixel_values = load_image(arguments.image, max_num=12)
    tiled = time.perf_counter()
    generation_config = {"max_new_tokens": arguments.max_new_tokens, "streamer": clock}
    answer = model.chat(tokenizer, pixel_values, arguments.question, generation_config)
    done = time.perf_counter()

    first = clock.tokens[0]
    print(f"Photograph  {arguments.image.resolve().as_uri()}")
    print(f"Checkpoint  {arguments.checkpoint}")
    if Path(arguments.checkpoint) == DEMO_CHECKPOINT:
        print("            !! tiny, with RANDOM weights: it shows that everything runs;")
        print("            !! its answer is noise. Name a real one with --checkpoint.")
    print(f"\nUser:      {arguments.question}\nAssistant: {answer}\n")
    print(f"load the checkpoint        {loaded - start:8.3f} s")
    print(f"decode and tile the image  {tiled - loaded:8.3f} s   {len(pixel_values)} tiles")
    print(f"see, read and first token  {first - tiled:8.3f} s")
    print(f"the other tokens           {done - first:8.3f} s   {len(clock.tokens) - 1} tokens")
    print(f"\ninternvl-native {internvl_native.__version__}")


if __name__ == "__main__":
    main()
