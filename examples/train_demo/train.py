"""Trains the demo checkpoint: `python -m examples.train_demo.train OUT`. A second call resumes.

As in the paper, both halves come with what they learned alone (here: the vision model names what
each part of a tile shows, the language model answers about tiles whose parts it is told); then the
projector and the vision model learn to say what it was told; then everything learns to answer."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from examples.train_demo import glyphs, tokenizer
from examples.train_demo.data import IGNORED, Batch, Steps, Tiles
from examples.train_demo.model import InternVL, Shape
from examples.train_demo.plots import plot_training
from examples.train_demo.stages import STAGES, Stage
from torch import Tensor, nn
from torch.utils.data import DataLoader

from internvl_native import AutoTokenizer


class Telling(nn.Module):
    """What slots show as rows for the language model: its own words for it, marked by the place."""

    def __init__(self, places: int, hidden: int, label_tokens: list[list[int]]) -> None:
        super().__init__()
        self.marks = nn.Parameter(1 + torch.randn(places, hidden))
        labels = [i for i, tokens in enumerate(label_tokens) for _ in tokens]
        tokens = [token for tokens in label_tokens for token in tokens]
        self.register_buffer("labels", torch.tensor(labels), persistent=False)
        self.register_buffer("tokens", torch.tensor(tokens), persistent=False)
        self.number = len(label_tokens)

    def forward(self, slots: Tensor, embeddings: nn.Embedding) -> Tensor:
        """(tokens, places) -> (tokens, hidden)"""
        words = embeddings(self.tokens)
        table = words.new_zeros(self.number, words.shape[1]).index_add(0, self.labels, words)
        return (table[slots] * self.marks).sum(1)


class Student(nn.Module):
    """The model, and what it learns with and leaves behind."""

    def __init__(self, shape: Shape, label_tokens: list[list[int]]) -> None:
        super().__init__()
        self.model = InternVL(shape)
        a_patch = glyphs.ROWS * glyphs.COLUMNS // shape.side**2
        self.naming = nn.Sequential(
            nn.LayerNorm(shape.vision_hidden),
            nn.Linear(shape.vision_hidden, a_patch * glyphs.LABELS),
        )
        self.telling = Telling(4 * a_patch, shape.hidden, label_tokens)

    def layers(self) -> list[nn.Module]:
        vision, language = self.model.vision_model, self.model.language_model.model
        return [*vision.encoder["layers"], *language.layers, language.norm]

    def named(self, pixels: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and accuracy of naming the slots that show something."""
        x = self.naming(self.model.vision_model(pixels)[:, 1:])
        logits = x.view(-1, glyphs.LABELS).float()  # patches are in the order of their slots
        slots = slots.flatten()
        weight = torch.where(slots == 0, 0.3, 1.0)
        losses = F.cross_entropy(logits, slots, reduction="none")
        right = (logits.argmax(-1) == slots)[slots > 0].float().mean()
        return (losses * weight).sum() / weight.sum(), right

    def told_rows(self, slots: Tensor) -> Tensor:
        """What the language model is given for tiles (tiles, 8, 32) that are told and not seen:
        (tiles, tokens, hidden), a token being made of what its slots show."""
        half = self.model.s.side // 2
        n, rows, columns = slots.shape
        x = slots.view(n, half, rows // half, half, columns // half).transpose(2, 3)
        embeddings = self.model.language_model.model.tok_embeddings
        return self.telling(x.reshape(n * half * half, -1), embeddings).view(n, half * half, -1)

    def matched(self, pixels: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Squared distance between seen and told rows as a share of the told, and the rest."""
        told = self.told_rows(slots).detach().float()
        size = told.square().mean(-1)
        shown = size > 0
        small = 1 / (1 / size[shown]).mean()  # harmonic mean: that of rows with a character or two
        distance = (self.model.image_rows(pixels).float() - told).square().mean(-1)
        shares = distance / (size + 0.25 * small)
        return shares.mean(), 1 - shares[shown].detach().mean()

    def answered(self, batch: Batch, told: bool, image_token: int) -> tuple[Tensor, Tensor]:
        """Weighted sums over the tokens of answers: the loss and the right ones."""
        rows = (self.told_rows if told else self.model.image_rows)(batch.tiles)
        hidden = self.model(rows, batch.ids, batch.positions, image_token)[:, :-1]
        targets = batch.labels[:, 1:]
        chosen = targets != IGNORED
        weights = batch.weights[:, 1:][chosen]
        logits, targets = self.model.language_model.output(hidden[chosen]).float(), targets[chosen]
        right = (logits.argmax(-1) == targets) * weights
        losses = F.cross_entropy(logits, targets, reduction="none") * weights
        return losses.sum(), right.sum()

    def learn(self, lesson: str, material: Any, image_token: int) -> tuple[float, float]:
        """Adds the gradients of a step; returns its loss and accuracy."""
        if lesson in ("naming", "matching"):
            loss, right = (self.named if lesson == "naming" else self.matched)(*material)
            loss.backward()
            return loss.item(), right.item()
        weight = sum(batch.weights.sum().item() for batch in material)
        total = accuracy = 0.0
        for batch in material:
            loss, right = self.answered(batch, lesson == "telling", image_token)
            (loss / weight).backward()
            total, accuracy = total + loss.item() / weight, accuracy + right.item() / weight
        return total, accuracy


def optimizers(student: Student, stage: Stage) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of layers, AdamW for the rest."""
    matrices: list[Tensor] = []
    rest: list[Tensor] = []
    for name, p in student.named_parameters():
        p.requires_grad_(name.startswith(stage.learns))
        if p.requires_grad:
            (matrices if p.dim() == 2 and "layers." in name else rest).append(p)
    adamw = torch.optim.AdamW(rest, lr=stage.rate, betas=(0.9, 0.98), weight_decay=0.01)
    muon = torch.optim.Muon(
        matrices, lr=stage.rate, weight_decay=0.05, adjust_lr_fn="match_rms_adamw", ns_steps=4
    )
    return [adamw, muon]


def to(device: torch.device, material: Any) -> Any:
    """Tensors, or batches of them, on a device."""
    if isinstance(material, Tensor):
        return material.to(device)
    moved = [to(device, part) for part in material]
    return Batch(*moved) if isinstance(material, Batch) else moved


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of steps")
    parser.add_argument("--eager", action="store_true", help="do not compile the layers")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop (and save) after")
    a = parser.parse_args()
    begin = time.time()
    if not (a.out / "tokenizer.model").exists():
        tokenizer.write(a.out, tokenizer.train())
    added = json.loads((a.out / "added_tokens.json").read_text())
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shape = Shape(vocab=max(added.values()) + 1)
    words = AutoTokenizer.from_pretrained(a.out)
    label_tokens = [
        sorted({i for name in names for i in words(name, add_special_tokens=False)["input_ids"]})
        for names in glyphs.label_names()
    ]
    student = Student(shape, label_tokens).to(device)
    if not a.eager:
        for layer in student.layers():
            layer.compile(dynamic=True)  # nearly twice as fast on a CPU
    parameters = sum(p.numel() for p in student.model.parameters())
    print(f"{parameters / 1e6:.2f} M parameters, vocabulary {shape.vocab}", flush=True)

    saved = a.out / "state.pt"
    state: dict[str, Any] = {"stage": 0, "step": 0, "optimizers": None}
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        student.load_state_dict(state["student"])

    def save(stage: int, step: int, running: list[torch.optim.Optimizer]) -> None:
        new = saved.with_suffix(".new")
        states = [o.state_dict() for o in running] if step else None
        kept = {"student": student.state_dict(), "optimizers": states, "stage": stage, "step": step}
        torch.save(kept, new)
        new.replace(saved)

    for number, stage in list(enumerate(STAGES))[state["stage"] :]:
        running = optimizers(student, stage)
        if state["optimizers"]:
            for optimizer, kept in zip(running, state["optimizers"]):
                optimizer.load_state_dict(kept)
        first, steps = state["step"], max(1, int(stage.steps * a.scale))
        state = {"step": 0, "optimizers": None}
        seed = 100_000 * number + first
        data = (
            Tiles(stage.batch, seed)
            if stage.lesson in ("naming", "matching")
            else Steps(a.out, shape.tokens_per_tile, stage, seed)
        )
        loader: Iterator[Any] = iter(
            DataLoader(data, batch_size=None, num_workers=1, prefetch_factor=4)
        )
        total, right, clock = 0.0, 0.0, time.time()
        for step in range(first, steps):
            rate = min(1, (step + 1) / 100) * (0.03 + 0.97 * min(1.0, 2 * (1 - step / steps)))
            for optimizer in running:
                for group in optimizer.param_groups:
                    group["lr"] = stage.rate * rate
            with torch.autocast(device.type, torch.bfloat16):
                loss, accuracy = student.learn(
                    stage.lesson, to(device, next(loader)), added["<IMG_CONTEXT>"]
                )
            total, right = total + loss, right + accuracy
            nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            for optimizer in running:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            if (step + 1) % 50 == 0 or step + 1 == steps:
                since = step + 1 - max(first, step // 50 * 50)
                row = {
                    "stage": stage.name, "step": step + 1, "loss": round(total / since, 4),
                    "accuracy": round(right / since, 4),
                    "seconds": round((time.time() - clock) / since, 3),
                }  # fmt: skip
                print(json.dumps(row), flush=True)
                with (a.out / "log.jsonl").open("a") as log:
                    log.write(json.dumps(row) + "\n")
                total, right, clock = 0.0, 0.0, time.time()
            late = time.time() - begin > a.seconds
            if (step + 1) % 100 == 0 or late:
                save(number, step + 1, running)
            if late:
                return
        save(number + 1, 0, running)
    plot_training(a.out / "log.jsonl", a.out / "training.png")


if __name__ == "__main__":
    main()
