"""Finds the images of a folder that look most like a given one, by embeddings of InternViT.

python examples/image_retrieval.py cat.jpg --folder photos --top 5
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from internvl_native import InternVisionModel, load_image
from internvl_native.demo import CHECKPOINT, PICTURES

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def embed(
    vision_model: InternVisionModel, images: list[Path], batch_size: int = 8
) -> npt.NDArray[np.float32]:
    """(images, hidden_size) vectors of length 1, so that a product of two is their cosine.

    An image is one tile, and its vector the mean over the patches: the chat model was trained on
    those and not on the class token.
    """
    batches = []
    for begin in range(0, len(images), batch_size):
        tiles = [
            load_image(image, vision_model.config.image_size, max_num=1, return_tensors="np")
            for image in images[begin : begin + batch_size]
        ]
        output = vision_model(np.concatenate(tiles))
        batches.append(output.last_hidden_state[:, 1:].mean(axis=1))
    vectors = np.concatenate(batches)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("query", nargs="?", type=Path, default=PICTURES / "page.png")
    parser.add_argument("--folder", type=Path, default=PICTURES)
    parser.add_argument("--checkpoint", default=CHECKPOINT)
    parser.add_argument("--top", type=int, default=5)
    arguments = parser.parse_args()

    vision_model = InternVisionModel.from_pretrained(arguments.checkpoint, torch_dtype="bfloat16")
    images = sorted(p for p in arguments.folder.iterdir() if p.suffix.lower() in SUFFIXES)
    similarities = embed(vision_model, images) @ embed(vision_model, [arguments.query])[0]
    for i in np.argsort(-similarities, kind="stable")[: arguments.top]:
        print(f"{similarities[i]:.4f}  {images[i].name}")


if __name__ == "__main__":
    main()
