"""Reads fields of a document, with the model's confidence in each value.

python examples/ocr_confidence.py invoice.jpg --fields "Invoice number" Date Total

The confidence is the probability that the model gives to the value as a whole, after everything
that it wrote before: the product of the probabilities of the value's tokens.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from internvl_native import AutoModel, AutoTokenizer, load_image
from internvl_native.demo import CHECKPOINT, PICTURES


def question_for(fields: Sequence[str]) -> str:
    lines = "\n".join(f"{field}: ..." for field in fields)
    return f"<image>\nRead the document. Answer with these lines and nothing else:\n{lines}"


def token_spans(tokenizer: Any, token_ids: Sequence[int]) -> list[tuple[int, int]]:
    """The characters of the decoded answer that each token takes part in: [begin, end)."""
    begin, spans = 0, []
    for count in range(1, len(token_ids) + 1):
        text = tokenizer.decode(token_ids[:count], skip_special_tokens=True)
        # A replacement character stands for one whose other bytes are in the next tokens.
        complete = len(text.rstrip("\ufffd"))
        spans.append((begin, max(complete, begin + 1)))
        begin = complete
    return spans


def read_fields(
    tokenizer: Any, token_ids: Sequence[int], logprobs: Sequence[float], fields: Sequence[str]
) -> list[dict[str, Any]]:
    """{"field", "value", "confidence"} of each field; both None for one that was not answered."""
    text = tokenizer.decode(token_ids, skip_special_tokens=True)
    spans = token_spans(tokenizer, token_ids)
    results = []
    for field in fields:
        pattern = rf"^[ \t]*{re.escape(field)}[ \t]*:[ \t]*(\S.*?)[ \t]*$"
        match = re.search(pattern, text, re.MULTILINE | re.IGNORECASE)
        result: dict[str, Any] = {"field": field, "value": None, "confidence": None}
        if match:
            begin, end = match.span(1)
            value = [p for (b, e), p in zip(spans, logprobs) if b < end and e > begin]
            result.update(value=match[1], confidence=math.exp(sum(value)))
        results.append(result)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("image", nargs="?", type=Path, default=PICTURES / "page.png")
    parser.add_argument("--fields", nargs="+", default=["Room", "Level", "Phone"])
    parser.add_argument("--checkpoint", default=CHECKPOINT)
    parser.add_argument("--max-num", type=int, default=12, help="tiles the image may become")
    parser.add_argument("--max-new-tokens", type=int, default=256)
    arguments = parser.parse_args()

    model = AutoModel.from_pretrained(arguments.checkpoint, torch_dtype="bfloat16").eval()
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    pixel_values = load_image(
        arguments.image, model.config.force_image_size, arguments.max_num, return_tensors="np"
    )
    _, output = model.chat(
        tokenizer,
        pixel_values,
        question_for(arguments.fields),
        {"max_new_tokens": arguments.max_new_tokens, "do_sample": False},
        return_output=True,
    )
    token_ids, logprobs = output.token_ids.tolist(), output.logprobs.tolist()
    for result in read_fields(tokenizer, token_ids, logprobs, arguments.fields):
        print(json.dumps(result, ensure_ascii=False))


if __name__ == "__main__":
    main()
