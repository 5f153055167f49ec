"""The reference, behind the interface that the cases use (tests/support/implementation.py).

INTERNVL_REPO names a checkout of https://github.com/OpenGVLab/InternVL. Packages which the
reference imports but none of these scripts reaches are replaced by empty modules.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import types
import warnings
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

# What is imported from packages that only training and video reading use.
_UNUSED_IMPORTS = {
    "peft": ("LoraConfig", "get_peft_model"),
    "cv2": (),
    "imageio": (),
    "decord": ("VideoReader",),
}


def _import_reference() -> None:
    """Puts the checkout on the path and makes its modules importable."""
    repo = os.environ.get("INTERNVL_REPO")
    if repo is None or not (Path(repo) / "internvl_chat").is_dir():
        raise SystemExit("set INTERNVL_REPO to a checkout of OpenGVLab/InternVL")
    sys.path.insert(0, str(Path(repo) / "internvl_chat"))
    for name, attributes in _UNUSED_IMPORTS.items():
        if find_spec(name) is None:
            module = types.ModuleType(name)
            module.__spec__ = ModuleSpec(name, None)
            for attribute in attributes:
                setattr(module, attribute, None)
            sys.modules[name] = module

    import torch

    # A torchvision wheel built for CUDA cannot load its operators beside a CPU torch; the
    # transforms need none of them, but the import insists on describing them.
    register_fake = torch.library.register_fake
    torch.library.register_fake = lambda *args, **kwargs: lambda function: function
    try:
        import torchvision  # noqa: F401
    finally:
        torch.library.register_fake = register_fake
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    with contextlib.redirect_stdout(io.StringIO()):  # each missing optional package prints
        import internvl.model.internvl_chat
        import internvl.train.dataset  # noqa: F401
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


_import_reference()

import torch  # noqa: E402


class TorchReference:
    """OpenGVLab/InternVL on transformers 4.37.2, eager attention, one thread."""

    name = "reference"
    tensors = "pt"

    def load_model(self, checkpoint: Path, torch_dtype: str = "float32", **options: Any) -> Any:
        from internvl.model.internvl_chat import InternVLChatConfig, InternVLChatModel

        config = InternVLChatConfig.from_pretrained(checkpoint)
        for key, value in options.items():
            setattr(config, key, value)
        dtype = getattr(torch, torch_dtype)
        model = InternVLChatModel.from_pretrained(checkpoint, config=config, torch_dtype=dtype)
        return model.eval()

    def load_tokenizer(self, checkpoint: Path) -> Any:
        from internvl.model.internlm2.tokenization_internlm2 import InternLM2Tokenizer

        return InternLM2Tokenizer.from_pretrained(checkpoint)

    def renew(self, model: Any) -> None:
        """Seeds sampling, and builds new rotary tables: dynamic scaling's outlive their call."""
        torch.manual_seed(0)
        for module in model.modules():
            if hasattr(module, "_init_rope"):
                module._init_rope()

    def tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array)

    def bfloat16(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(torch.bfloat16)

    def array(self, tensor: Any) -> np.ndarray:
        return np.asarray(tensor.detach().float() if tensor.is_floating_point() else tensor)

    def taps(self, model: Any, pixel_values: Any, input_ids: Any) -> dict[str, np.ndarray]:
        from tests.reference.topics.activations import taps_of

        return taps_of(model, pixel_values, input_ids)

    def dynamic_preprocess(self, image: Any, **settings: Any) -> list[Any]:
        from internvl.train.dataset import dynamic_preprocess

        return list(dynamic_preprocess(image, **settings))

    def build_transform(self, input_size: int) -> Any:
        from internvl.train.dataset import build_transform

        return build_transform(is_train=False, input_size=input_size)

    def get_conv_template(self, name: str) -> Any:
        from internvl.conversation import get_conv_template

        return get_conv_template(name)

    def generation_config(self, **settings: Any) -> Any:
        from transformers import GenerationConfig

        return GenerationConfig(**settings)

    def text_iterator_streamer(self, tokenizer: Any, **settings: Any) -> Any:
        from transformers import TextIteratorStreamer

        return TextIteratorStreamer(tokenizer, **settings)

    def text_streamer(self, tokenizer: Any) -> Any:
        from transformers import TextStreamer

        return TextStreamer(tokenizer)
