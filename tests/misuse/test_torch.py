"""torch's tensors and transformers' objects where they do not belong."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import pytest
from tests.misuse.bench import Bench, image_ids, pixels
from tests.support.extras import optional

torch = optional("torch", "test-extras")

Case = tuple[Callable[[Bench], Any], type[Exception], str]
TILES = r"pixel_values: expected normalised floats of shape \(tiles, 3, height, width\)"


def tensor(*shape: int) -> Any:
    return torch.from_numpy(pixels(*shape))


CASES: dict[str, Case] = {
    "pixels of bytes": (lambda b: b.chat(tensor().byte()), ValueError, TILES + ", got uint8"),
    "pixels of one tile": (
        lambda b: b.chat(tensor(3, 112, 112)), ValueError, r"4 dimensions .*\(3, 112, 112\)",
    ),
    "a list of tensors": (
        lambda b: b.chat([tensor(), tensor(2, 3, 112, 112)]), ValueError,
        "pixel_values: .*torch.cat joins several images",
    ),
    "pixels of NaN in bfloat16": (
        lambda b: b.chat(tensor().bfloat16() * float("nan")), ValueError, "NaN or infinity in tile",
    ),
    "pixels beyond float16": (
        lambda b: b.chat((tensor() + 1e30).half()), ValueError, "NaN or infinity in tile 0",
    ),
    "pixels without values": (
        lambda b: b.chat(tensor().to("meta")), ValueError, "pixel_values: .*meta",
    ),
    "sparse pixels": (lambda b: b.chat(tensor().to_sparse()), ValueError, "pixel_values: .*sparse"),
    "a dtype as pixels": (lambda b: b.chat(torch.float32), ValueError, TILES + ", got dtype"),
    "counts in a tensor of no dimensions": (
        lambda b: b.chat(tensor(), num_patches_list=torch.tensor(1)), TypeError,
        "num_patches_list: expected a list",
    ),
    "fractional counts in a tensor": (
        lambda b: b.chat(tensor(), num_patches_list=torch.tensor([1.0])), TypeError,
        "num_patches_list: expected an integer",
    ),
    "counts of batch_chat in a tensor of no dimensions": (
        lambda b: b.batch(tensor(), ["a"], torch.tensor(1)), TypeError, "num_patches_list: ",
    ),
    "one dimension of ids": (
        lambda b: b.generate(input_ids=torch.tensor([1, 2])), ValueError, "input_ids: .*2 dimens",
    ),
    "fractional ids": (
        lambda b: b.generate(input_ids=torch.tensor([[1.0]])), ValueError,
        "input_ids: expected integers, got float32",
    ),
    "ids without values": (
        lambda b: b.generate(input_ids=torch.tensor([[1]], device="meta")), ValueError,
        "input_ids: .*meta",
    ),
    "a mask of another shape": (
        lambda b: b.generate(
            input_ids=torch.tensor([[1, 2]]), attention_mask=torch.tensor([[1]])
        ), ValueError, r"attention_mask: expected shape \(1, 2\), got \(1, 1\)",
    ),
    "features of integers": (
        lambda b: b.generate(
            input_ids=image_ids(), pixel_values=tensor(), visual_features=torch.tensor([[1]])
        ), ValueError, r"visual_features: expected .*",
    ),
    "an integer dtype": (
        lambda b: b.model.to(torch.int8), ValueError, "torch_dtype: .*got torch.int8",
    ),
    "a tensor of integers to convert like": (
        lambda b: b.model.to(torch.tensor([1])), ValueError, "torch_dtype: .*got torch.int64",
    ),
    "a layout": (lambda b: b.model.to(torch.strided), TypeError, "to: expected a device, a float"),
    "labels of another shape": (
        lambda b: b.forward(labels=torch.tensor([[1]])), ValueError, "labels: expected shape",
    ),
    "numpy scores of a processor for tensors": (
        lambda b: b.chat(
            tensor(), generation_config={"logits_processor": [lambda ids, scores: scores[:, :3]]}
        ), ValueError, r"`logits_processor` must have shape \[1, 2202\], got \[1, 3\]",
    ),
    "weights in place of others": (
        lambda b: b.model.mlp1[1].weight.copy_(torch.zeros(1)), AttributeError, "read-only",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_misuse(bench: Bench, case: str) -> None:
    bench.refuses(*CASES[case])


def test_what_is_odd_but_fine(bench: Bench) -> None:
    """Tensors with gradients, of other dtypes and orders, and counts and ids in tensors."""
    values = np.random.default_rng(0).integers(-8, 8, (2, 3, 112, 112)) / 4  # exact in 8 bits
    expected = bench.chat(values, "What?", num_patches_list=[2])
    tiles = torch.from_numpy(values).float()
    for form in (
        tiles.double(),
        tiles.half(),
        tiles.requires_grad_(),
        tiles.detach().contiguous(memory_format=torch.channels_last),
        torch.nn.Parameter(tiles.detach()),
        list(tiles.detach()),
    ):
        counts = torch.tensor([2], dtype=torch.int32)
        assert bench.chat(form, "What?", num_patches_list=counts) == expected
