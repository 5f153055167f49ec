"""Write tests/data/llama_tokenizer.json: what LlamaTokenizer of transformers 4.37.2 returns.

    python tests/reference/llama_tokenizer.py

needs transformers==4.37.2, sentencepiece and protobuf. The vocabulary is the golden checkpoint's
with the dummy prefix of Llama's own switched on: protobuf messages merge when concatenated.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from transformers import LlamaTokenizer

DATA = Path(__file__).parents[1] / "data"
DUMMY_PREFIX = b"\x1a\x02\x18\x01"  # ModelProto.normalizer_spec { add_dummy_prefix: true }
TEXTS = [
    "",
    " ",
    "Hello world",
    " Hello",
    "  two  spaces ",
    "▁under▁line",
    "<s>Hello</s>",
    "a<img> b</img>c",
    "<img>",
    "<human>: What is it?</s><bot>:",
    "line\nbreak\t.",
    "中文 image ",
    "it 's fine , no ?",
]


def records(legacy: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
            shutil.copy(DATA / "ckpt_ntk" / name, folder)
        model = (DATA / "ckpt_ntk" / "tokenizer.model").read_bytes() + DUMMY_PREFIX
        (Path(folder) / "tokenizer.model").write_bytes(model)
        tokenizer = LlamaTokenizer.from_pretrained(folder, legacy=legacy, add_eos_token=True)
    texts = []
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        texts.append(
            {
                "text": text,
                "tokens": tokenizer.tokenize(text),
                "ids": ids,
                "decode": tokenizer.decode(ids),
                "decode_skip": tokenizer.decode(ids, skip_special_tokens=True),
            }
        )
    pair = tokenizer("a", "b c", return_token_type_ids=True, return_special_tokens_mask=True)
    return {"legacy": legacy, "texts": texts, "pair": dict(pair)}


if __name__ == "__main__":
    path = DATA / "llama_tokenizer.json"
    path.write_text(json.dumps([records(True), records(False)], indent=1) + "\n")
