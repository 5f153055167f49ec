"""Frames of video files, read with whichever reader is installed: decord, av or cv2."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from internvl_native._core import ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Frame = TypeVar("Frame")


class Frames(Protocol):
    """The frames of a video: how many, how many a second, and those at ascending indices."""

    @property
    def fps(self) -> float: ...
    def __len__(self) -> int: ...
    def pick(self, indices: list[int]) -> Iterator[Any]: ...


def open_video_file(path: Path) -> Frames:
    """Raises ImportError where no reader is installed, ImageError for what it cannot read."""
    readers: dict[str, type[_Decord | _PyAV | _OpenCV]] = {
        "decord": _Decord,
        "av": _PyAV,
        "cv2": _OpenCV,
    }
    for module, reader in readers.items():
        if importlib.util.find_spec(module) is not None:
            try:
                return reader(path, importlib.import_module(module))
            except (RuntimeError, OSError, ValueError, IndexError) as error:
                raise ImageError(f"{path}: no video that {module} can read: {error}") from error
    raise ImportError(
        f"{path}: reading a video file needs decord, av or opencv-python-headless "
        "(pip install av); a folder or a list of frames needs none of them"
    )


class _Decord:
    def __init__(self, path: Path, decord: Any) -> None:
        self._reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
        self.fps = float(self._reader.get_avg_fps())

    def __len__(self) -> int:
        return len(self._reader)

    def pick(self, indices: list[int]) -> Iterator[NDArray[np.uint8]]:
        return (self._reader[i].asnumpy() for i in indices)


class _PyAV:
    def __init__(self, path: Path, av: Any) -> None:
        self._av, self._path = av, str(path)
        with av.open(self._path) as container:
            stream = container.streams.video[0]
            self.fps = float(stream.average_rate)
            # Some containers do not store the number of frames.
            self._count = stream.frames or sum(1 for _ in container.decode(video=0))

    def __len__(self) -> int:
        return int(self._count)

    def pick(self, indices: list[int]) -> Iterator[NDArray[np.uint8]]:
        with self._av.open(self._path) as container:
            for frame in _pick(container.decode(video=0), indices):
                yield frame.to_ndarray(format="rgb24")


class _OpenCV:
    def __init__(self, path: Path, cv2: Any) -> None:
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise ValueError("unknown format")
        self.fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self._count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))

    def __len__(self) -> int:
        return self._count

    def pick(self, indices: list[int]) -> Iterator[NDArray[np.uint8]]:
        for bgr in _pick(self._frames(), indices):
            yield bgr[:, :, ::-1]

    def _frames(self) -> Iterator[Any]:
        while True:
            found, bgr = self._capture.read()
            if not found:
                return
            yield bgr


def _pick(frames: Iterable[Frame], indices: list[int]) -> Iterator[Frame]:
    """The frames at ascending indices, with repetitions, of a stream that only goes forward."""
    wanted = iter(indices)
    target = next(wanted, None)
    for index, frame in enumerate(frames):
        while target == index:
            yield frame
            target = next(wanted, None)
        if target is None:
            return
    raise ImageError(f"video: frame {target} is missing")
