"""The demo's own tokenizer: sentencepiece BPE with byte fallback and the family's added tokens."""

from __future__ import annotations

import io
import json
import random
import struct
from pathlib import Path

import sentencepiece
from examples.train_demo import tasks

UNUSED = 6
SHADOWING = [
    "<|plugin|>", "<|interpreter|>", "<|action_end|>", "<|action_start|>", "<|im_end|>",
    "<|im_start|>",
]  # fmt: skip
FOLLOWING = [
    "<img>", "</img>", "<IMG_CONTEXT>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>",
]  # fmt: skip


def corpus(samples: int, seed: int = 1) -> list[str]:
    rng = random.Random(seed)
    lines = ["user\n", "assistant\n", "system\n"] * 50
    for _ in range(samples):
        for question, answer in tasks.draw(rng, 0.5).turns:
            for name in FOLLOWING:
                question, answer = question.replace(name, "\n"), answer.replace(name, "\n")
            lines += [*question.replace("<image>", "\n").split("\n"), *answer.split("\n")]
    return lines


def train(pieces: int = 1000, samples: int = 30000) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus(samples)), model_writer=model, model_type="bpe",
        vocab_size=pieces,
        byte_fallback=True, normalization_rule_name="identity", add_dummy_prefix=False,
        remove_extra_whitespaces=False, split_digits=True, allow_whitespace_only_pieces=True,
        character_coverage=1.0, num_threads=1, minloglevel=2,
    )  # fmt: skip
    unused = b"".join(_piece(f"[UNUSED_TOKEN_{i}]", -10000.0 - i) for i in range(UNUSED))
    return model.getvalue() + unused


def _piece(text: str, score: float) -> bytes:
    body = b"\x0a" + bytes([len(text)]) + text.encode() + b"\x15" + struct.pack("<f", score)
    return b"\x0a" + bytes([len(body)]) + body


def write(folder: Path, model: bytes) -> int:
    """The tokenizer's files; returns the number of ids, hence of embedding rows."""
    size = sentencepiece.SentencePieceProcessor(model_proto=model).get_piece_size()
    ids = {"<unk>": 0, "<s>": 1, "</s>": 2}
    ids.update(zip(SHADOWING + FOLLOWING, range(size - len(SHADOWING), size + len(FOLLOWING))))
    flags = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False)
    decoder = {str(i): {"content": t, **flags, "special": True} for t, i in ids.items()}
    additional = [*reversed(SHADOWING), *FOLLOWING]
    config = {
        "added_tokens_decoder": decoder,
        "additional_special_tokens": additional,
        "auto_map": {"AutoTokenizer": ["tokenization_internlm2.InternLM2Tokenizer", None]},
        "bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>",
        "clean_up_tokenization_spaces": False, "model_max_length": 8192,
        "tokenizer_class": "InternLM2Tokenizer",
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(model)
    special = ("bos_token", "eos_token", "pad_token", "unk_token", "additional_special_tokens")
    for name, content in {
        "tokenizer_config.json": config,
        "added_tokens.json": {t: i for t, i in ids.items() if i >= size - len(SHADOWING)},
        "special_tokens_map.json": {key: config[key] for key in special},
    }.items():
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")
    return size + len(FOLLOWING)
