"""InternVL-Chat-V1.5 on a native engine: a drop-in for the Hugging Face remote code.

    from internvl_native import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(path, torch_dtype="bfloat16")
    tokenizer = AutoTokenizer.from_pretrained(path)
    response = model.chat(tokenizer, pixel_values, question, dict(max_new_tokens=256))

Everything is imported when it is first used; torch and transformers never are, unless the caller
has done so or asks for their types.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from internvl_native._core import CheckpointError, ImageError, num_threads, set_num_threads
    from internvl_native.auto import AutoModel, AutoModelForCausalLM
    from internvl_native.configuration import (
        AutoConfig,
        InternVisionConfig,
        InternVLChatConfig,
    )
    from internvl_native.conversation import get_conv_template
    from internvl_native.generation import (
        GenerationConfig,
        LogitsProcessor,
        LogitsProcessorList,
        StoppingCriteria,
        StoppingCriteriaList,
        manual_seed,
    )
    from internvl_native.image_processing import (
        build_transform,
        dynamic_preprocess,
        load_image,
    )
    from internvl_native.image_processor import (
        BatchFeature,
        CLIPFeatureExtractor,
        CLIPImageProcessor,
    )
    from internvl_native.modeling import InternVLChatModel
    from internvl_native.processor import AutoImageProcessor, AutoProcessor
    from internvl_native.streamers import TextIteratorStreamer, TextStreamer
    from internvl_native.tile_picture import show_tiles
    from internvl_native.tiling import find_closest_aspect_ratio
    from internvl_native.tokenization import AutoTokenizer
    from internvl_native.video import load_video
    from internvl_native.vision import InternVisionModel

__version__ = "0.1.0"

__all__ = [
    "AutoConfig",
    "AutoImageProcessor",
    "AutoModel",
    "AutoModelForCausalLM",
    "AutoProcessor",
    "AutoTokenizer",
    "BatchFeature",
    "CLIPFeatureExtractor",
    "CLIPImageProcessor",
    "CheckpointError",
    "GenerationConfig",
    "ImageError",
    "InternVLChatConfig",
    "InternVLChatModel",
    "InternVisionConfig",
    "InternVisionModel",
    "LogitsProcessor",
    "LogitsProcessorList",
    "StoppingCriteria",
    "StoppingCriteriaList",
    "TextIteratorStreamer",
    "TextStreamer",
    "build_transform",
    "dynamic_preprocess",
    "find_closest_aspect_ratio",
    "get_conv_template",
    "load_image",
    "load_video",
    "manual_seed",
    "num_threads",
    "set_num_threads",
    "show_tiles",
]

_MODULE_OF = {
    "AutoConfig": "configuration",
    "AutoImageProcessor": "processor",
    "AutoModel": "auto",
    "AutoModelForCausalLM": "auto",
    "AutoProcessor": "processor",
    "AutoTokenizer": "tokenization",
    "BatchFeature": "image_processor",
    "CLIPFeatureExtractor": "image_processor",
    "CLIPImageProcessor": "image_processor",
    "CheckpointError": "_core",
    "GenerationConfig": "generation",
    "ImageError": "_core",
    "InternVLChatConfig": "configuration",
    "InternVLChatModel": "modeling",
    "InternVisionConfig": "configuration",
    "InternVisionModel": "vision",
    "LogitsProcessor": "generation",
    "LogitsProcessorList": "generation",
    "StoppingCriteria": "generation",
    "StoppingCriteriaList": "generation",
    "TextIteratorStreamer": "streamers",
    "TextStreamer": "streamers",
    "build_transform": "image_processing",
    "dynamic_preprocess": "image_processing",
    "find_closest_aspect_ratio": "tiling",
    "get_conv_template": "conversation",
    "load_image": "image_processing",
    "load_video": "video",
    "manual_seed": "generation",
    "num_threads": "_core",
    "set_num_threads": "_core",
    "show_tiles": "tile_picture",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
