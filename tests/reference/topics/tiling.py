"""tiling.npz: candidate grids in the reference's order, and the grid it chooses for many sizes.

Kept inputs: candidate_sets, query_sets, query_wh, other_sizes, other_sets, other_query_index and
the first four columns of midpoint_rows.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from tests.reference.torch_reference import TorchReference


class _ResizeReachedError(Exception):
    """Carries the grids out of dynamic_preprocess before it resizes anything."""


class _Sized:
    def __init__(self, width: int, height: int) -> None:
        self.size = (width, height)

    def resize(self, size: tuple[int, int]) -> Any:
        raise _ResizeReachedError(size)


def candidates(impl: TorchReference, min_num: int, max_num: int) -> list[tuple[int, int]]:
    """The grids that dynamic_preprocess offers to find_closest_aspect_ratio, in its order."""
    import internvl.train.dataset as dataset

    seen: list[list[tuple[int, int]]] = []
    choose = dataset.find_closest_aspect_ratio

    def record(ratio: float, grids: list[tuple[int, int]], *rest: Any) -> Any:
        seen.append(grids)
        return choose(ratio, grids, *rest)

    dataset.find_closest_aspect_ratio = record
    try:
        impl.dynamic_preprocess(_Sized(1, 1), min_num=min_num, max_num=max_num)
    except _ResizeReachedError:
        return seen[0]
    finally:
        dataset.find_closest_aspect_ratio = choose
    raise AssertionError("dynamic_preprocess resized nothing")


def regenerate(impl: TorchReference, data: Path) -> dict[str, Any]:
    from internvl.train.dataset import find_closest_aspect_ratio

    stored = dict(np.load(data / "tiling.npz"))
    grids = functools.lru_cache(maxsize=None)(functools.partial(candidates, impl))

    def choose(limits: Any, size: Any, image_size: int) -> Any:
        width, height = size
        return find_closest_aspect_ratio(width / height, grids(*limits), width, height, image_size)

    ordered = [grids(*limits) for limits in stored["candidate_sets"].tolist()]
    sizes = stored["query_wh"].tolist()
    other = [sizes[index] for index in stored["other_query_index"]]
    stored["candidates"] = np.array([grid for grids_ in ordered for grid in grids_], np.uint8)
    stored["candidate_offsets"] = np.cumsum([0, *map(len, ordered)]).astype(np.int32)
    stored["chosen_448"] = np.array(
        [[choose(s, wh, 448) for wh in sizes] for s in stored["query_sets"].tolist()], np.uint8
    )
    stored["chosen_other"] = np.array(
        [
            [[choose(s, wh, size) for wh in other] for s in stored["other_sets"].tolist()]
            for size in stored["other_sizes"].tolist()
        ],
        np.uint8,
    )
    stored["midpoint_rows"] = np.array(
        [
            [low, high, width, height, *choose((low, high), (width, height), 448)]
            for low, high, width, height, _, _ in stored["midpoint_rows"].tolist()
        ],
        np.int32,
    )
    return {"tiling.npz": stored}
