"""Trains a small tokenizer of InternLM2's kind and writes its files into a checkpoint folder.

    python -m tests.reference.make_tokenizer FOLDER --text a.md b.md --pieces 512

sentencepiece BPE with byte fallback, identity normaliser, no dummy prefix, split digits. The last
pieces are [UNUSED_TOKEN_i]; as in the published vocabulary the final six of their ids are taken by
<|plugin|> ... <|im_start|>, and <img> ... </box> follow the vocabulary.
"""

from __future__ import annotations

import argparse
import io
import json
import struct
from pathlib import Path

UNUSED = 8
SHADOWING = [
    "<|plugin|>",
    "<|interpreter|>",
    "<|action_end|>",
    "<|action_start|>",
    "<|im_end|>",
    "<|im_start|>",
]
FOLLOWING = [
    "<img>",
    "</img>",
    "<IMG_CONTEXT>",
    "<quad>",
    "</quad>",
    "<ref>",
    "</ref>",
    "<box>",
    "</box>",
]
ADDITIONAL = [*reversed(SHADOWING), *FOLLOWING]


def _piece(text: str, score: float) -> bytes:
    """A ModelProto.pieces entry in protobuf's wire format: string 1, float 2."""
    body = b"\x0a" + bytes([len(text)]) + text.encode() + b"\x15" + struct.pack("<f", score)
    return b"\x0a" + bytes([len(body)]) + body


def train(texts: list[Path], pieces: int, unused: int = UNUSED) -> bytes:
    """The serialised model: `pieces` trained ones and the unused ones after them."""
    import sentencepiece

    model = io.BytesIO()
    lines = (line for text in texts for line in text.read_text(encoding="utf-8").splitlines())
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines,
        model_writer=model,
        model_type="bpe",
        vocab_size=pieces,
        byte_fallback=True,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        character_coverage=0.98,
        num_threads=1,
        minloglevel=2,
    )
    # Messages in this format concatenate: repeated fields append.
    rest = (_piece(f"[UNUSED_TOKEN_{i}]", -10000.0 - i) for i in range(unused))
    return model.getvalue() + b"".join(rest)


def write(folder: Path, model: bytes) -> int:
    """The tokenizer's files; returns the number of ids, hence of embedding rows."""
    import sentencepiece

    size = sentencepiece.SentencePieceProcessor(model_proto=model).get_piece_size()
    ids = {"<unk>": 0, "<s>": 1, "</s>": 2}
    ids.update(zip(SHADOWING + FOLLOWING, range(size - len(SHADOWING), size + len(FOLLOWING))))
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    special = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "</s>",
        "unk_token": "<unk>",
        "additional_special_tokens": ADDITIONAL,
    }
    config = {
        "added_tokens_decoder": {
            str(token): {"content": text, **flags, "special": True} for text, token in ids.items()
        },
        "auto_map": {"AutoTokenizer": ["tokenization_internlm2.InternLM2Tokenizer", None]},
        "clean_up_tokenization_spaces": False,
        "model_max_length": 8192,
        "tokenizer_class": "InternLM2Tokenizer",
        **special,
    }
    added = {text: token for text, token in ids.items() if token > 2}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(model)
    for name, content in (
        ("tokenizer_config.json", config),
        ("special_tokens_map.json", special),
        ("added_tokens.json", added),
    ):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return size + len(FOLLOWING)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--text", type=Path, nargs="+", required=True, help="training text")
    parser.add_argument("--pieces", type=int, default=512, help="trained pieces, bytes included")
    arguments = parser.parse_args()
    rows = write(arguments.folder, train(arguments.text, arguments.pieces))
    print(f"{arguments.folder}: {rows} ids (llm_config.vocab_size)")


if __name__ == "__main__":
    main()
