"""Samples as the model sees them: tiles, token ids and labels."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from examples.train_demo import glyphs, tasks
from examples.train_demo.drawing import Canvas
from examples.train_demo.stages import Stage
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import IterableDataset

from internvl_native import AutoTokenizer, dynamic_preprocess

MEAN = np.array((0.485, 0.456, 0.406), np.float32)
STD = np.array((0.229, 0.224, 0.225), np.float32)
IGNORED = -100
SYSTEM = "You are InternVL, a small demo that looks at drawings and documents."


def normalize(tiles: list[Image.Image]) -> NDArray[np.float32]:
    pixels = np.stack([np.asarray(t, np.float32) for t in tiles])
    return np.ascontiguousarray(((pixels / 255 - MEAN) / STD).transpose(0, 3, 1, 2))


def pixel_values(picture: Canvas, max_num: int) -> NDArray[np.float32]:
    return normalize(
        dynamic_preprocess(
            picture.image, max_num=max_num, image_size=tasks.TILE, use_thumbnail=True
        )
    )


class Encoded(NamedTuple):
    tiles: NDArray[np.float32]
    """What is seen, (tiles, 3, image_size, image_size), or slots, what is told, (tiles, 8, 32)."""
    ids: list[int]
    labels: list[int]
    """IGNORED but for answers"""
    weights: list[float]
    """of labels; an answer of n tokens weighs sqrt(n), so that long ones do not drown a word"""


class Encoder:
    """The prompt of the template `internlm2-chat`, with the answers as labels."""

    def __init__(self, tokenizer: Path, tokens_per_tile: int) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(tokenizer)
        self.tokens_per_tile = tokens_per_tile

    def ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def __call__(self, sample: tasks.Sample, told: bool = False) -> Encoded:
        show = glyphs.tile_slots if told else pixel_values
        tiles = [show(picture, sample.max_num) for picture in sample.pictures]
        ids = [1, *self.ids(f"<|im_start|>system\n{SYSTEM}<|im_end|>")]
        labels, weights = [IGNORED] * len(ids), [0.0] * len(ids)
        for number, (question, answer) in enumerate(sample.turns):
            if number == 0 and "<image>" not in question:
                question = f"<image>\n{question}"
            if number == 0:
                for t in tiles:
                    tokens = "<IMG_CONTEXT>" * self.tokens_per_tile * len(t)
                    question = question.replace("<image>", f"<img>{tokens}</img>", 1)
            prompt = f"<|im_start|>user\n{question}<|im_end|><|im_start|>assistant\n"
            asked, answered = self.ids(prompt), self.ids(f"{answer}<|im_end|>")
            ids += asked + answered
            labels += [IGNORED] * len(asked) + answered
            weights += [0.0] * len(asked) + [len(answered) ** -0.5] * len(answered)
        return Encoded(np.concatenate(tiles), ids, labels, weights)


class Batch(NamedTuple):
    tiles: Tensor
    """of all samples, see Encoded"""
    ids: Tensor
    """(batch, length)"""
    positions: Tensor
    """(length,)"""
    labels: Tensor
    """(batch, length)"""
    weights: Tensor
    """(batch, length)"""


def collate(rng: random.Random, samples: list[Encoded]) -> Batch:
    length = max(len(s.ids) for s in samples)
    ids = torch.full((len(samples), length), 2)
    labels = torch.full((len(samples), length), IGNORED)
    weights = torch.zeros(len(samples), length)
    for row, s in enumerate(samples):
        ids[row, : len(s.ids)] = torch.tensor(s.ids)
        labels[row, : len(s.labels)] = torch.tensor(s.labels)
        weights[row, : len(s.weights)] = torch.tensor(s.weights)
    positions = torch.arange(length)
    if rng.random() < 0.25:
        # A jump somewhere, so that pictures of more tiles than in training are no news.
        positions[rng.randrange(length) :] += rng.randrange(512)
    tiles = torch.from_numpy(np.concatenate([s.tiles for s in samples]))
    return Batch(tiles, ids, positions, labels, weights)


class Steps(IterableDataset):
    """What each step of a stage learns from, without end: batches of samples of like length."""

    def __init__(self, tokenizer: Path, tokens_per_tile: int, stage: Stage, seed: int) -> None:
        self.tokenizer, self.tokens_per_tile = tokenizer, tokens_per_tile
        self.stage, self.seed = stage, seed

    def __iter__(self) -> Iterator[list[Batch]]:
        worker = torch.utils.data.get_worker_info()
        rng = random.Random(f"{self.seed} {worker.id if worker else 0}")
        encode = Encoder(self.tokenizer, self.tokens_per_tile)
        while True:
            samples: list[Encoded] = []
            while len(samples) < self.stage.batch:
                sample = tasks.draw(rng, self.stage.text_share, self.stage.turns)
                if sample.max_num > 4 and rng.random() < self.stage.enlarged:
                    sample.max_num = rng.choice((24, 40))
                if sample.max_num <= self.stage.max_num:
                    samples.append(encode(sample, told=self.stage.lesson == "telling"))
            samples.sort(key=lambda s: len(s.ids))
            batches, batch = [], samples[:1]
            for s in samples[1:]:
                if len(s.ids) * (len(batch) + 1) > 4096:
                    batches.append(batch)
                    batch = []
                batch.append(s)
            yield [collate(rng, b) for b in (*batches, batch)]


class Tiles(IterableDataset):
    """Batches of single tiles and the labels of their slots."""

    def __init__(self, batch: int, seed: int) -> None:
        self.batch, self.seed = batch, seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = torch.utils.data.get_worker_info()
        rng = random.Random(f"{self.seed} {worker.id if worker else 0}")
        while True:
            images, labels = zip(*(glyphs.tile(rng) for _ in range(self.batch)))
            yield torch.from_numpy(normalize(list(images))), torch.from_numpy(np.stack(labels))
