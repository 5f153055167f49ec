"""Images of the command line: files and URLs, as the tiles of a checkpoint."""

from __future__ import annotations

import http.client
import io
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from internvl_native import ImageError, InternVLChatConfig, load_image
from internvl_native.core_config import tile_size
from internvl_native.image_source import open_rgb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MAX_BYTES = 64 << 20
_SECONDS_WITHOUT_DATA = 20
_SECONDS = 120


@dataclass(frozen=True)
class TiledImage:
    """An image as the model takes it: float32 (tiles, 3, side, side), and its name."""

    name: str
    pixel_values: NDArray[np.float32]

    @property
    def tiles(self) -> int:
        """How many, the thumbnail included."""
        return len(self.pixel_values)


@dataclass(frozen=True)
class ImageLoader:
    """Cuts images into the tiles that a checkpoint was trained on."""

    config: InternVLChatConfig
    max_num: int

    def load(self, name: str) -> TiledImage:
        """The image in a file or at an http(s) URL. Raises OSError."""
        with _errors_of(name):
            pixel_values = load_image(
                _source(name),
                input_size=tile_size(self.config),
                max_num=self.max_num,
                use_thumbnail=self.config.use_thumbnail,
                return_tensors="np",
            )
        return TiledImage(name, pixel_values)


def read_rgb(name: str) -> Image.Image:
    """The image in a file or at an http(s) URL. Raises OSError."""
    with _errors_of(name):
        return open_rgb(_source(name))


def _source(name: str) -> str | io.BytesIO:
    return fetch(name) if is_url(name) else name


@contextmanager
def _errors_of(name: str) -> Iterator[None]:
    """Gives Pillow's error about images of too many pixels, which is no OSError, their name."""
    try:
        yield
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: {error}") from error


def is_url(name: str) -> bool:
    """Whether the name is that of an image to download."""
    return name.lower().startswith(("http://", "https://"))


class _Download(io.BytesIO):
    """A file in memory; messages about a damaged image say its name."""

    name: str


def fetch(url: str) -> io.BytesIO:
    """What is at an http(s) URL, at most 64 MiB within 2 minutes. Raises ImageError."""
    request = urllib.request.Request(url, headers={"User-Agent": "internvl-native"})
    data = _Download()
    data.name = url
    deadline = time.monotonic() + _SECONDS
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS_WITHOUT_DATA) as response:
            while chunk := response.read(1 << 16):
                data.write(chunk)
                if data.tell() > _MAX_BYTES:
                    raise ImageError(f"expected at most {_MAX_BYTES >> 20} MiB, got more")
                if time.monotonic() > deadline:
                    raise ImageError(f"expected all of it within {_SECONDS} seconds")
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise ImageError(f"{url}: {reason}") from error
    return data
