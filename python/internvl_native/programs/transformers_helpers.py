"""Functions of transformers that programs call beside the model."""

from __future__ import annotations

import random

import numpy as np

from internvl_native.generation import manual_seed


def set_seed(seed: int, deterministic: bool = False) -> None:
    """Seeds `random`, numpy, and this package's sampling (torch's generator where it is loaded).

    Results of this package are reproducible with and without `deterministic`.
    """
    random.seed(seed)
    np.random.seed(seed)
    manual_seed(seed)
