"""load_video: which frames it takes, and from what."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from internvl_native._core import ImageError
from internvl_native.image_processing import load_image
from internvl_native.video import get_index, load_video

IMAGES = Path(__file__).resolve().parents[1] / "data" / "images"
COLOURS = [(20 * i, 255 - 20 * i, 7 * i) for i in range(12)]
FRAMES = [Image.new("RGB", (40, 20), colour) for colour in COLOURS]


def check(source: object, expected: list[int], **options: object) -> None:
    """The frames taken are those at the expected indices."""
    values, counts = load_video(
        source,  # type: ignore[arg-type]
        input_size=16,
        num_segments=len(expected),
        return_tensors="np",
        **options,  # type: ignore[arg-type]
    )
    assert counts == [1] * len(expected)
    frames = [load_image(FRAMES[i], 16, max_num=1, return_tensors="np") for i in expected]
    np.testing.assert_array_equal(values, np.concatenate(frames))


def test_get_index_is_the_model_cards() -> None:
    # int(start + stretch / 2 + round(stretch * i))
    assert get_index(None, 25.0, 99, num_segments=4).tolist() == [12, 37, 62, 86]
    assert get_index((1, 3), 25.0, 99, num_segments=4).tolist() == [31, 43, 56, 69]
    assert get_index((0, 1000), 25.0, 9, num_segments=3).tolist() == [1, 4, 7]
    assert get_index(None, 30.0, 0, num_segments=3).tolist() == [0, 0, 0]
    assert get_index(None, 30.0, 2, first_idx=1, num_segments=2).tolist() == [1, 1]


@pytest.mark.parametrize("bound", [(5, 6), (3, 1)])
def test_bound_without_frames(bound: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="bound: no frames between"):
        get_index(bound, 10.0, 39)


def test_sequences_of_frames() -> None:
    expected = [1, 4, 7, 9]
    check(FRAMES, expected)
    check(np.stack([np.asarray(frame) for frame in FRAMES]), expected)
    check(FRAMES, [2, 3, 5], bound=(2, 6))


def test_folder_in_the_order_of_numbers(tmp_path: Path) -> None:
    for i, frame in enumerate(FRAMES):
        frame.save(tmp_path / f"frame{i}.png")
    (tmp_path / "notes.txt").write_text("no frame", encoding="utf-8")
    check(tmp_path, [1, 3, 5, 8, 10])
    check(str(tmp_path), [5])


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_animation(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"video.{suffix}"
    FRAMES[0].save(path, save_all=True, append_images=FRAMES[1:], duration=500, lossless=True)
    check(path, [1, 4, 7, 9])
    check(path, [4, 5, 7], bound=(2, 4))  # two frames a second


def test_several_tiles_a_frame() -> None:
    frames = [IMAGES / f"frame{i}.jpg" for i in range(4)]
    values, counts = load_video(frames, max_num=2, num_segments=4, return_tensors="np")
    tiles = [load_image(frame, max_num=2, return_tensors="np") for frame in frames]
    # The middles of four stretches of 0.75 frames.
    expected = [tiles[i] for i in get_index(None, 1.0, 3, num_segments=4)]
    assert counts == [len(frame) for frame in expected]
    np.testing.assert_array_equal(values, np.concatenate(expected))


def test_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no frames"):
        load_video(tmp_path)
    with pytest.raises(ValueError, match="the sequence has no frames"):
        load_video([])
    with pytest.raises(ValueError, match="num_segments: expected at least 1"):
        load_video(FRAMES, num_segments=0)
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        load_video(tmp_path / "missing.mp4")


def test_video_file_without_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(b"not a video")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="needs decord, av or opencv-python-headless"):
        load_video(path)


@pytest.mark.parametrize("module", ["decord", "av", "cv2"])
def test_damaged_video_file(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(module)
    path = tmp_path / "video.mp4"
    path.write_bytes(b"not a video")
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: find_spec(name) if name == module else None
    )
    with pytest.raises(ImageError, match="no video that"):
        load_video(path)
