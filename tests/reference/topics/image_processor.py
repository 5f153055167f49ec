"""image_processor.json: pixel values of transformers' CLIPImageProcessor, as hashes.

Kept inputs: the configurations and the image files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image
from tests.reference.torch_reference import TorchReference
from tests.support.goldens import DATA, read_json, sha256
from transformers import CLIPImageProcessor


def _case(config: dict[str, Any], file: str) -> dict[str, Any]:
    with Image.open(DATA / "images" / file) as image:
        values = CLIPImageProcessor(**config)(image, return_tensors="np")["pixel_values"]
    return {"shape": list(values.shape), "float32_sha256": sha256(values)}


def regenerate(impl: TorchReference, data: Path) -> dict[str, Any]:
    stored = read_json(data / "image_processor.json")
    files = stored["files"]
    processors = [
        {
            "config": entry["config"],
            "images": [_case(entry["config"], file) for file in files],
        }
        for entry in stored["processors"]
    ]
    return {"image_processor.json": {"files": files, "processors": processors}}
