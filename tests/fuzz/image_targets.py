"""Image files of every format, through Pillow or the JPEG decoder of the core.

python -m tests.fuzz.image_targets FOLDER writes those JPEG files that libFuzzer starts from.
"""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image
from tests.fuzz.mutation import mutate_bytes
from tests.fuzz.target import DOCUMENTED, Target
from tests.support.goldens import DATA

from internvl_native import load_image

PNG = b"\x89PNG\r\n\x1a\n"
LARGEST_SEED = 26_000
MAX_PIXELS = 1 << 20  # what Pillow takes for a bomb while fuzzing; twice as many are an error


def seeds() -> list[bytes]:
    files = [path.read_bytes() for path in sorted((DATA / "images").iterdir())]
    return [data for data in files if len(data) <= LARGEST_SEED] + encoded_seeds()


def encoded_seeds() -> list[bytes]:
    """A small picture in formats, and with settings, that the goldens lack."""
    image = Image.fromarray(np.arange(30 * 41 * 3, dtype=np.uint8).reshape(30, 41, 3))
    settings: list[tuple[str, str, dict[str, Any]]] = [
        ("RGB", "BMP", {}), ("RGB", "WEBP", {}), ("P", "GIF", {}), ("RGB", "TIFF", {}),
        ("L", "JPEG", {"quality": 3}), ("RGB", "JPEG", {"subsampling": "4:4:4"}),
        ("RGB", "JPEG", {"progressive": True}), ("RGB", "JPEG", {"restart_marker_blocks": 2}),
        ("CMYK", "JPEG", {"optimize": True}), ("CMYK", "JPEG", {"progressive": True}),
    ]  # fmt: skip
    files = []
    for mode, name, options in settings:
        file = io.BytesIO()
        image.convert(mode).save(file, name, **options)
        files.append(file.getvalue())
    return files


def mutate(data: bytes, chance: Random) -> bytes:
    return with_checksums(mutate_bytes(data, chance))


def with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks have the right CRC: Pillow looks no further at others."""
    if not data.startswith(PNG):
        return data
    parts, position = [PNG], len(PNG)
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        body = data[position + 4 : position + 8 + length]
        parts += [data[position : position + 4], body, struct.pack(">I", zlib.crc32(body))]
        position += 12 + length
    return b"".join(parts)


def run(data: bytes, folder: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    try:
        pixels = load_image(data, input_size=28, max_num=6, return_tensors="np")
    finally:
        Image.MAX_IMAGE_PIXELS = before
    assert pixels.shape[1:] == (3, 28, 28)
    assert np.isfinite(pixels).all()


# DecompressionBombError is the one documented error that derives from Exception itself.
TARGETS = [
    Target(
        "image",
        seeds,
        mutate,
        run,
        allowed=(*DOCUMENTED, Image.DecompressionBombError),
    )
]


def write_jpeg_seeds(folder: Path) -> None:
    for number, data in enumerate(seeds()):
        if data.startswith(b"\xff\xd8"):
            (folder / f"{number}.jpg").write_bytes(data)


if __name__ == "__main__":
    write_jpeg_seeds(Path(sys.argv[1]))
