"""chat.json and scores.npz: calls of chat, batch_chat and generate.

A case's inputs are kept, `expect` is computed. To add cases, append entries without `expect`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.reference.torch_reference import TorchReference
from tests.support.chat_cases import pixels_of, run_case
from tests.support.goldens import read_json

# The size of the perturbation under which a case must keep its tokens, relative to each weight.
PERTURBATION = 5e-6
SCORE_STEPS = {"greedy": 2, "beams": 1}


class LogitGap:
    """A logits processor, last in the list, that keeps the smallest lead of the best token."""

    def __init__(self, end: int) -> None:
        self.end = end
        self.smallest = float("inf")

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        for row, (best, second) in zip(input_ids, scores.topk(2).values.tolist()):
            if self.end not in row:  # what follows the end is padding
                self.smallest = min(self.smallest, best - second)
        return scores


class Models:
    """The variants of one checkpoint that a case runs on, each loaded once."""

    def __init__(self, impl: TorchReference, data: Path) -> None:
        self.impl = impl
        self.data = data
        self.loaded: dict[Any, Any] = {}

    def __call__(self, case: dict[str, Any], variant: str) -> Any:
        options = case.get("config", {})
        key = (case["ckpt"], variant, *sorted(options.items()))
        if key not in self.loaded:
            dtype = "bfloat16" if variant == "bfloat16" else "float32"
            model = self.impl.load_model(self.data / case["ckpt"], dtype, **options)
            if variant == "float64":
                model = model.double()
            elif variant == "perturbed":
                generator = torch.Generator().manual_seed(1)
                for parameter in model.parameters():
                    noise = torch.randn(parameter.shape, generator=generator)
                    parameter.data *= 1 + PERTURBATION * noise
            self.loaded[key] = model
        return self.loaded[key]


def _has_gap(case: dict[str, Any]) -> bool:
    """Greedy calls whose smallest lead the file keeps."""
    config = case["generation_config"]
    kept = case["call"] != "generate" or config.get("output_scores")
    return kept and config.get("num_beams", 1) == 1 and not config.get("do_sample")


@contextmanager
def _computing_in(dtype: torch.dtype) -> Iterator[None]:
    """Keeps float64 where the models ask for float32: masks and the attention's softmax.

    Beside gaining precision, the mask's smallest float64 would become minus infinity in float32,
    and a row of padding, masked everywhere, not a number.
    """
    softmax = torch.nn.functional.softmax
    if dtype == torch.float64:
        torch.set_default_dtype(dtype)
        torch.nn.functional.softmax = lambda x, dim, dtype=None: softmax(x, dim)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        torch.nn.functional.softmax = softmax


def _run(impl: TorchReference, models: Models, case: dict[str, Any], variant: str) -> Any:
    pixels = None
    if case["images"] is not None and variant in ("float64", "bfloat16"):
        pixels = torch.from_numpy(pixels_of(impl, case)[0]).to(getattr(torch, variant))
    tokenizer = impl.load_tokenizer(models.data / case["ckpt"])
    model = models(case, variant)
    with _computing_in(model.dtype):
        return run_case(impl, model, tokenizer, case, pixel_values=pixels)


def expect(
    impl: TorchReference, models: Models, case: dict[str, Any]
) -> tuple[dict[str, Any], np.ndarray | None]:
    """What chat.json says about the case, and its first processed scores where it asks for any."""
    result = _run(impl, models, case, "float32")
    result.pop("exception", None)
    scores = result.pop("scores", None)
    if "error" not in result:
        for variant, key in (("float64", "float64_agrees"), ("perturbed", "perturbed_agrees")):
            other = _run(impl, models, case, variant)
            result[key] = other.get("output_ids") == result["output_ids"]
        model, tokenizer = models(case, "float32"), impl.load_tokenizer(models.data / case["ckpt"])
        separator = impl.get_conv_template(model.template).sep.strip()
        gap = LogitGap(tokenizer.convert_tokens_to_ids(separator))
        if _has_gap(case):
            run_case(impl, model, tokenizer, case, logits_processor=[gap])
        result["min_logit_gap"] = gap.smallest if gap.smallest < float("inf") else None
        rounded = _run(impl, models, case, "bfloat16").get("output_ids")
        result["reference_bfloat16"] = {
            "output_ids": rounded,
            "same": rounded == result["output_ids"],
        }
    if scores is None:
        return result, None
    beams = case["generation_config"].get("num_beams", 1) > 1
    return result, np.stack(scores[: SCORE_STEPS["beams" if beams else "greedy"]])


def regenerate(impl: TorchReference, data: Path) -> dict[str, Any]:
    models = Models(impl, data)
    cases = []
    scores = {}
    for case in read_json(data / "chat.json")["cases"]:
        inputs = {key: value for key, value in case.items() if key != "expect"}
        result, first_scores = expect(impl, models, inputs)
        cases.append({**inputs, "expect": result})
        if first_scores is not None:
            scores[case["id"].replace("/", ".")] = first_scores
        if not result.get("float64_agrees", True) or not result.get("perturbed_agrees", True):
            print(f"{case['id']}: the tokens depend on rounding; choose other inputs")
    return {"chat.json": {"cases": cases}, "scores.npz": scores}
