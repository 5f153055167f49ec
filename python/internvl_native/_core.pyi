"""The compiled engine. Private: the package's top level is the interface."""

import os
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

class InternalError(RuntimeError): ...
class CheckpointError(OSError): ...
class ImageError(OSError): ...

def num_threads() -> int: ...
def set_num_threads(count: int) -> None: ...
def cpu_isas() -> list[str]: ...

kernels: ModuleType

# `metaclass=type`: pybind11 has a metaclass of its own, and stubtest asks for one.
class ByteSource(metaclass=type):
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @property
    def size(self) -> int: ...

class ComputedBytes(ByteSource):
    def __init__(self, make: Callable[[], NDArray[Any]], size: int) -> None: ...

class MappedFile(ByteSource):
    def __init__(self, path: str | os.PathLike[str]) -> None: ...
    def __len__(self) -> int: ...
    @property
    def path(self) -> str: ...
    def read(self, offset: int, bytes: int) -> bytes: ...
    def release(self, offset: int, bytes: int) -> None: ...

class TileGrid(metaclass=type):
    def __init__(self, columns: int, rows: int, tile_size: int, thumbnail: bool) -> None: ...
    @property
    def columns(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def tiles(self) -> int: ...

class Normalization(metaclass=type):
    def __init__(
        self, mean: tuple[float, float, float], std: tuple[float, float, float]
    ) -> None: ...

def decode_jpeg(data: bytes, size: tuple[int, int]) -> NDArray[np.uint8]: ...
def resize_bicubic(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]: ...
def cut_tiles(pixels: NDArray[np.uint8], grid: TileGrid) -> NDArray[np.uint8]: ...
def cut_pixel_values(
    pixels: NDArray[np.uint8], grid: TileGrid, normalization: Normalization
) -> NDArray[np.float32]: ...
def cut_jpeg_pixel_values(
    data: bytes, size: tuple[int, int], grid: TileGrid, normalization: Normalization
) -> NDArray[np.float32]: ...

class SequenceModel(metaclass=type):
    """Subclasses give logits, see csrc/generation/sequence_model.h."""

    def __init__(self) -> None: ...
    def vocab_size(self) -> int: ...
    def batch_size(self) -> int: ...

class GenerationConfig(metaclass=type):
    do_sample: bool
    num_return_sequences: int
    seed: int
    prompt_ids: list[list[int]]
    bos_token_id: int
    pad_token_id: int
    eos_token_id: list[int]
    max_length: int
    max_time: float
    num_beams: int
    num_beam_groups: int
    length_penalty: float
    early_stopping: bool | None
    penalty_alpha: float
    sequence_bias: list[tuple[list[int], float]]
    diversity_penalty: float
    repetition_penalty: float
    no_repeat_ngram_size: int
    bad_words_ids: list[list[int]]
    processed_eos_token_id: list[int]
    min_length: int
    min_new_tokens: int
    forced_bos_token_id: int | None
    forced_eos_token_id: list[int]
    remove_invalid_values: bool
    exponential_decay_length_penalty: tuple[int, float] | None
    suppress_tokens: list[int]
    begin_suppress_tokens: list[int]
    begin_index: int
    forced_decoder_ids: dict[int, int]
    renormalize_logits: bool
    temperature: float
    top_k: int
    top_p: float
    typical_p: float
    epsilon_cutoff: float
    eta_cutoff: float
    min_tokens_to_keep: int
    output_scores: bool
    output_logits: bool
    output_hidden_states: bool
    output_logprobs: bool

    def __init__(self) -> None: ...

def generate(
    model: SequenceModel,
    config: GenerationConfig,
    process_logits: Callable[[NDArray[np.int64], NDArray[np.float32]], Any] | None = None,
    allowed_tokens: Callable[[int, NDArray[np.int64]], list[int]] | None = None,
    put: Callable[[NDArray[np.int64]], None] | None = None,
    should_stop: Callable[[NDArray[np.int64], list[NDArray[np.float32]]], bool] | None = None,
) -> dict[str, Any]: ...
def process_scores(
    config: GenerationConfig, sequences: list[list[int]], logits: NDArray[np.float32]
) -> NDArray[np.float32]: ...
def log_probabilities(
    logits: NDArray[np.float32], tokens: Sequence[int] | NDArray[np.int64]
) -> NDArray[np.float32]: ...

class InternVL(metaclass=type):
    def __init__(
        self,
        config: dict[str, Any],
        weights: Mapping[str, Sequence[tuple[ByteSource, int, str, int, int]]],
        dtype: str,
        isa: str = "",
        progress: Callable[[int], None] | None = None,
    ) -> None: ...
    @property
    def dtype(self) -> str: ...
    @property
    def backend(self) -> str: ...
    def extract_feature(
        self, pixel_values: NDArray[Any], dtype: str, recorders: Sequence[Activations] = ...
    ) -> NDArray[np.float32]: ...
    def vision_forward(
        self,
        pixel_values: NDArray[Any],
        dtype: str,
        layers: int,
        recorders: Sequence[Activations] = ...,
    ) -> NDArray[np.float32]: ...
    def vision_encode(
        self, pixel_embeds: NDArray[np.float32], recorders: Sequence[Activations] = ...
    ) -> NDArray[np.float32]: ...
    def project(self, shuffled: NDArray[np.float32]) -> NDArray[np.float32]: ...
    def embed(self, ids: NDArray[np.int32]) -> NDArray[np.float32]: ...
    def output(self, hidden: NDArray[np.float32]) -> NDArray[np.float32]: ...

class Activations(metaclass=type):
    def __init__(self, names: set[str]) -> None: ...
    def recorded(self) -> list[str]: ...
    def sequences(self, name: str) -> list[NDArray[np.float32]]: ...

class BatchCache(metaclass=type):
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @property
    def length(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    def select(self, rows: Sequence[int]) -> BatchCache: ...

class ChatSession(SequenceModel):
    def __init__(
        self,
        model: InternVL,
        input_ids: NDArray[np.int32],
        embedding_rows: NDArray[np.int32],
        embeddings: NDArray[np.float32],
        attention_mask: NDArray[np.uint8],
        position_ids: NDArray[np.int32],
        past: BatchCache | None = None,
        recorders: Sequence[Activations] = ...,
    ) -> None: ...
    def prefill(self) -> NDArray[np.float32]: ...
    def step(self, tokens: NDArray[np.int32]) -> NDArray[np.float32]: ...
    def forward(
        self, hidden_states: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]: ...
    def cache(self) -> BatchCache: ...
