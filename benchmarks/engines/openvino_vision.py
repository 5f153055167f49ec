"""OpenVINO on the vision part, converted from transformers' classes."""

from __future__ import annotations

import itertools
from functools import cached_property
from typing import Any

import openvino
import torch

from benchmarks.checkpoint import SHAPES

from . import inputs
from .job import Job, Parts, timed
from .transformers_classes import build

PRECISIONS = {"bfloat16": "bf16", "float32": "f32"}


class Features(torch.nn.Module):
    """`extract_feature` as a module."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Any) -> Any:
        features = self.model.get_image_features(pixel_values=pixel_values)
        return features.pooler_output


class Engine:
    def __init__(self, job: Job) -> None:
        self.job = job
        version = openvino.get_version().split("-")[0]
        self.description = f"OpenVINO {version}, {PRECISIONS[job.dtype]} hint"
        self.compiled: dict[int, Any] = {}
        self.seeds = itertools.count(1)
        self.measures = {"vision": self.vision}

    @cached_property
    def converted(self) -> Any:
        """Its weights stay float32; the precision hint decides about the arithmetic."""
        torch.set_num_threads(self.job.threads)
        model = build(SHAPES[self.job.shape], torch.float32, decoder_layers=1)
        example = torch.from_numpy(inputs.pixel_values(1))
        with torch.no_grad():
            return openvino.convert_model(Features(model.model), example_input=example)

    def _compile(self, tiles: int) -> Any:
        self.converted.reshape([tiles, 3, 448, 448])
        return openvino.Core().compile_model(
            self.converted,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": PRECISIONS[self.job.dtype],
                "INFERENCE_NUM_THREADS": self.job.threads,
                "PERFORMANCE_HINT": "LATENCY",
            },
        )

    def vision(self, tiles: int) -> Parts:
        pixels = inputs.pixel_values(tiles, next(self.seeds))
        if tiles not in self.compiled:
            self.compiled = {tiles: self._compile(tiles)}
            self.compiled[tiles](pixels)  # memory is allocated by the first inference
        compiled = self.compiled[tiles]
        return timed(lambda: compiled(pixels))
