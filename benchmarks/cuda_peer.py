"""The peer on a GPU: transformers' InternVL with a Llama decoder, sdpa, of the same shapes.

InternLM2 is Llama with other names; transformers' InternViT keeps query, key and value apart. The
weights are random and made on the GPU. torch and transformers are imported when a peer is made.
"""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import numpy.typing as npt

from .checkpoint import SHAPES
from .transformers_model import IMAGE_TOKEN, random_model


class Peer:
    """An engine of benchmarks.cuda_models.

    Raises ImportError or AttributeError where torch or transformers' classes are not installed,
    RuntimeError where torch finds no GPU or its memory does not do.
    """

    image_token = IMAGE_TOKEN

    def __init__(self, shape: str, index: int) -> None:
        import torch
        import transformers

        if not torch.cuda.is_available():
            raise RuntimeError(f"torch {torch.__version__} finds no GPU")
        self.torch: Any = torch
        self.name = f"transformers {transformers.__version__}, torch {torch.__version__}, sdpa"
        self.device: Any = torch.device("cuda", index)
        with self.device:
            self.model: Any = random_model(SHAPES[shape], torch.bfloat16)

    def pixels(self, values: npt.NDArray[np.float32]) -> Any:
        return self.torch.from_numpy(values).to(self.device, self.torch.bfloat16)

    def vision(self, pixels: Any) -> None:
        with self.torch.inference_mode():
            self.model.model.get_image_features(pixel_values=pixels)
        self.torch.cuda.synchronize(self.device)

    def generate(self, pixels: Any, ids: npt.NDArray[np.int64], new_tokens: int) -> None:
        on_device = self.torch.from_numpy(ids).to(self.device)
        with self.torch.inference_mode():
            self.model.generate(
                pixel_values=pixels, input_ids=on_device,
                attention_mask=self.torch.ones_like(on_device), do_sample=False,
                max_new_tokens=new_tokens, min_new_tokens=new_tokens,
            )  # fmt: skip
        self.torch.cuda.synchronize(self.device)

    def close(self) -> None:
        """Gives the memory back."""
        del self.model
        gc.collect()
        self.torch.cuda.empty_cache()
