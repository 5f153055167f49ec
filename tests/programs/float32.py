"""Runs a program as `python` does, in float32 where it asks for bfloat16.

usage: float32.py SCRIPT [ARGUMENT ...]

Published programs load models in bfloat16, where two implementations round differently; random
weights turn that into different texts. In float32 the answers of reference and package are equal.
"""

from __future__ import annotations

import os
import runpy
import sys
from typing import Any

import torch
from internvl.model.internvl_chat import InternVLChatModel
from transformers import AutoModel

BFLOAT16 = torch.bfloat16


def load_in_float32(model_class: Any) -> None:
    load = model_class.from_pretrained

    def from_pretrained(*args: Any, **kwargs: Any) -> Any:
        torch.bfloat16 = BFLOAT16  # what files hold
        model = load(*args, **{**kwargs, "torch_dtype": torch.float32})
        torch.bfloat16 = torch.float32  # what the program casts its pixels to
        return model

    model_class.from_pretrained = from_pretrained


if __name__ == "__main__":
    load_in_float32(InternVLChatModel)
    load_in_float32(AutoModel)
    sys.argv = sys.argv[1:]
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")
