"""The engine with a checkpoint's weights in it: what a model and its parts share."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from threading import Lock
from typing import Any

from internvl_native import _core, arrays, devices
from internvl_native.checkpoint.adapter import Adapter, merge_adapter
from internvl_native.checkpoint.loader import Checkpoint
from internvl_native.checkpoint.weights import parameter_tensors, untied, weight_map
from internvl_native.configuration import InternVisionConfig, InternVLChatConfig
from internvl_native.core_config import core_config
from internvl_native.parameters import ModuleTree, fill_tree
from internvl_native.progress import loading_bar


class Engine:
    """A checkpoint loaded in one dtype, with adapters merged into its weights.

    Attributes:
        dtype: "float32", "bfloat16" or "float16".
        device: "cpu" or "cuda:0".
        checkpoint: the tensors that the weights come from, adapters included.
        adapters: all that were ever merged, by name.
        active: those that are merged now, in their order.
        config: the configuration that they were loaded with, which later changes of the model's
            ``config`` leave alone, as the modules of the reference do.
        tree: the model's parameters and modules.
    """

    def __init__(
        self,
        config: InternVLChatConfig | InternVisionConfig,
        checkpoint: Checkpoint,
        dtype: str,
        device: str,
        adapters: Mapping[str, Adapter],
    ) -> None:
        self.config = copy.deepcopy(config)
        self.dtype = dtype
        self.device = device
        self.tree: ModuleTree = {}
        self.adapters: dict[str, Adapter] = {}
        self._base = checkpoint
        self._core: _core.InternVL | None = None
        self._lock = Lock()
        self.merge(adapters)

    @property
    def core(self) -> _core.InternVL:
        """The engine; another one after :meth:`move` and :meth:`merge`, and loaded here if
        those were interrupted."""
        core = self._core
        if core is None:
            with self._lock:
                core = self._core = self._core or self._load()
        return core

    def lend(self, tensor: Any) -> _core.LentArray:
        """A torch tensor in the memory of this engine's GPU, where it lies: for the engine to read
        or write behind what torch's current stream does with it."""
        _ = self.core
        with arrays.loaded_torch().cuda.device(tensor.device):  # whose current stream counts
            return _core.LentArray(tensor.__dlpack__(stream=devices.stream(self._backend)))

    def wait(self) -> None:
        """Returns when the GPU is done: tensors that were lent are torch's again."""
        devices.synchronize(self._backend)

    def move(self, device: str, dtype: str) -> None:
        """Loads the weights again where one of these is another one. After a DeviceError they are
        what they were."""
        before = self.device, self.dtype
        if (device, dtype) == before:
            return
        self.device, self.dtype = device, dtype
        try:
            self._reload()
        except _core.DeviceError:
            self.device, self.dtype = before
            raise

    def merge(self, adapters: Mapping[str, Adapter]) -> None:
        """Loads the weights with these adapters, and no others, merged one after the other.

        Raises CheckpointError, and changes nothing, for adapters that do not fit.
        """
        checkpoint = untied(self.config, self._base) if adapters else self._base
        for adapter in adapters.values():
            checkpoint = merge_adapter(checkpoint, adapter)
        self._weights = weight_map(self.config, checkpoint)
        self.checkpoint, self.active = checkpoint, dict(adapters)
        self.adapters.update(adapters)
        fill_tree(self.tree, parameter_tensors(self.config, checkpoint))
        self._reload()

    def _reload(self) -> None:
        self._core = None  # first: two models need not fit into memory
        _ = self.core

    def _load(self) -> _core.InternVL:
        total = sum(rows.nbytes for ranges in self._weights.values() for rows in ranges)
        config = core_config(self.config)
        self._backend = devices.backend(self.device)
        with loading_bar(total) as progress:
            return _core.InternVL(config, self._weights, self.dtype, self._backend, progress)
