"""Videos as the model takes them: some frames, evenly spread, each an image of its own."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from PIL import Image, ImageSequence

from internvl_native.arguments import integer, is_sequence, kind
from internvl_native.image_processing import as_tensor, load_image, tensor_kind
from internvl_native.image_source import ImageSource
from internvl_native.video_file import Frames, open_video_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

VideoSource = Union[str, "os.PathLike[str]", Sequence[ImageSource], "NDArray[np.uint8]"]

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
_ANIMATION_SUFFIXES = frozenset({".gif", ".webp", ".png", ".apng"})


def load_video(
    video_path: VideoSource,
    bound: tuple[float, float] | None = None,
    input_size: int = 448,
    max_num: int = 1,
    num_segments: int = 32,
    return_tensors: str | None = None,
) -> tuple[Any, list[int]]:
    """`num_segments` frames of a video: (pixel_values, num_patches_list) for `chat`.

    The middle of each of `num_segments` equal stretches is taken, as in the model card, between
    the seconds `bound` = (start, end) if given; a short video gives some frames twice.
    `video_path` is a video file (read by decord, av or cv2, whichever is installed), an animated
    GIF, WebP or PNG, a folder of image files (in the order of the numbers in their names), or a
    sequence of what `load_image` accepts. Images without a clock count as one a second.

    `pixel_values` is float32 (sum(num_patches_list), 3, input_size, input_size), a torch tensor
    or a numpy array by `return_tensors` as in `load_image`; each frame is cut into up to `max_num`
    tiles. Raises ImportError where no reader is installed, ImageError for damaged files.
    """
    tensors = tensor_kind(return_tensors)
    if integer("num_segments", num_segments) < 1:
        raise ValueError(f"num_segments: expected at least 1, got {num_segments}")
    with _open_frames(video_path) as frames:
        if len(frames) == 0:
            raise ValueError(f"video_path: {_describe(video_path)} has no frames")
        indices = get_index(bound, frames.fps, len(frames) - 1, num_segments=num_segments)
        tiles = [
            load_image(frame, input_size, max_num, return_tensors="np")
            for frame in frames.pick(indices.tolist())
        ]
    return as_tensor(np.concatenate(tiles), tensors), [len(frame) for frame in tiles]


def get_index(
    bound: tuple[float, float] | None,
    fps: float,
    max_frame: int,
    first_idx: int = 0,
    num_segments: int = 32,
) -> NDArray[np.int64]:
    """The middle frame of each of `num_segments` stretches of the frames first_idx..max_frame.

    `bound` is (start, end) in seconds, or None for everything. Raises ValueError for a bound that
    is empty or begins after the last frame.
    """
    first, last = first_idx, max_frame
    if bound:
        start, end = _seconds(bound)
        first = round(min(max(first_idx, start * fps), max_frame + 1))
        last = round(max(min(end * fps, max_frame), first_idx - 1))
        if first > last:
            length = (max_frame + 1) / fps
            raise ValueError(
                f"bound: no frames between {start:g} s and {end:g} s of {length:.3g} s"
            )
    stretch = (last - first) / num_segments
    offsets = np.round(stretch * np.arange(num_segments))
    return (first + stretch / 2 + offsets).astype(np.int64)


def _seconds(bound: Any) -> tuple[float, float]:
    with suppress(TypeError, ValueError):
        start, end = map(float, bound)
        if not (math.isnan(start) or math.isnan(end)):
            return start, end
    raise ValueError(f"bound: expected (start, end) in seconds, got {bound!r:.100}")


@contextmanager
def _open_frames(video: VideoSource) -> Iterator[Frames]:
    if not isinstance(video, (str, os.PathLike)):
        if not is_sequence(video):
            raise TypeError(
                "video_path: expected the path of a video or of a folder of images, or a sequence "
                f"of images, got {kind(video)}"
            )
        yield _Images(video)
        return
    path = Path(video)
    if path.is_dir():
        names = [f.name for f in path.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES]
        yield _Images([path / name for name in sorted(names, key=natural_order)])
    elif not path.is_file():
        raise FileNotFoundError(f"video_path: no such file or folder: {path}")
    elif path.suffix.lower() in _ANIMATION_SUFFIXES:
        with Image.open(path) as image:
            yield _Animation(image)
    else:
        yield open_video_file(path)


class _Images:
    """Images that are frames already."""

    fps = 1.0

    def __init__(self, images: Sequence[ImageSource] | NDArray[np.uint8]) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def pick(self, indices: list[int]) -> Iterator[ImageSource]:
        return (self._images[i] for i in indices)


class _Animation:
    def __init__(self, image: Image.Image) -> None:
        self._image = image
        milliseconds = []
        for frame in ImageSequence.Iterator(image):
            frame.load()  # some formats know the duration only now
            milliseconds.append(frame.info.get("duration", 0))
        self._count = len(milliseconds)
        self.fps = 1000 * self._count / sum(milliseconds) if sum(milliseconds) else 1.0

    def __len__(self) -> int:
        return self._count

    def pick(self, indices: list[int]) -> Iterator[ImageSource]:
        for index in indices:
            self._image.seek(index)
            yield self._image


def natural_order(name: str) -> list[tuple[int, str]]:
    """A key to sort file names by."""
    # "frame2.jpg" comes before "frame10.jpg"; splitting at numbers puts them at odd places
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if i % 2 else (0, part) for i, part in enumerate(parts)]


def _describe(video: VideoSource) -> str:
    return str(video) if isinstance(video, (str, os.PathLike)) else "the sequence"
