"""``forward``: logits of every position, the loss, hidden states, and caches to go on from.

The semantics are those of ``InternLM2ForCausalLM.forward`` of the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from internvl_native import _core, arrays
from internvl_native.decoder_inputs import DecoderInputs
from internvl_native.engine import Engine
from internvl_native.model_output import ModelOutput
from internvl_native.taps import recorders

IGNORED_LABEL = -100
_LOSS_ROWS = 256  # logits that the loss is computed from at a time


class CausalLMOutputWithPast(ModelOutput):
    """What ``forward`` returns.

    loss: the mean cross entropy, with ``labels``. logits: (batch, length, vocab_size), float32.
    past_key_values: a :class:`KeyValueCache`, with ``use_cache``. hidden_states: with
    ``output_hidden_states``, (batch, length, hidden_size) of the embeddings, of every layer but the
    last, and of the final norm. attentions: None.
    """

    _fields = ("loss", "logits", "past_key_values", "hidden_states", "attentions")


class BaseModelOutputWithPast(ModelOutput):
    """What ``language_model.model`` returns.

    last_hidden_state: (batch, length, hidden_size), the final norm's output. The other fields are
    those of :class:`CausalLMOutputWithPast`.
    """

    _fields = ("last_hidden_state", "past_key_values", "hidden_states", "attentions")


class KeyValueCache:
    """Keys and values of a batch: what ``forward`` returns and takes as ``past_key_values``.

    It never changes: one cache may be continued any number of times, in any number of threads, and
    memory is shared until continuations differ.
    """

    def __init__(self, core: _core.BatchCache, attention_mask: npt.NDArray[np.uint8]) -> None:
        self._core = core
        self._attention_mask = attention_mask

    @property
    def batch_size(self) -> int:
        """Number of sequences."""
        return self._core.batch_size

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens of each sequence, padding included; the same for all layers."""
        return self._core.length

    def select(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> KeyValueCache:
        """A cache of these sequences in this order: a row may come several times, to try several
        continuations, or not at all. ValueError for no rows, and for a row that is not there."""
        indices = arrays.integer_array(rows, "rows").reshape(-1)
        return KeyValueCache(self._core.select(indices.tolist()), self._attention_mask[indices])

    def __copy__(self) -> KeyValueCache:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> KeyValueCache:
        return self

    def __getstate__(self) -> NoReturn:
        raise TypeError(
            "past_key_values: cannot be pickled: keys and values belong to a model of this process"
        )

    def __getitem__(self, index: Any) -> Any:
        raise TypeError(
            "past_key_values: keys and values are in the engine's own layout; get_seq_length(), "
            "batch_size and select(rows) are what can be asked of them"
        )

    def __repr__(self) -> str:
        return f"KeyValueCache(batch_size={self.batch_size}, length={self.get_seq_length()})"


@dataclass(frozen=True)
class ForwardOptions:
    """Keywords of ``forward`` that do not depend on what kind of tokens come."""

    attention_mask: Any = None
    position_ids: Any = None
    past_key_values: Any = None
    labels: Any = None
    use_cache: bool | None = None
    output_attentions: bool | None = None
    output_hidden_states: bool | None = None
    return_dict: bool | None = None
    logits_to_keep: int = 0


def run_forward(
    engine: Engine, config: Any, inputs: DecoderInputs, options: ForwardOptions, *, as_torch: bool
) -> Any:
    """Logits of a language model with this config; torch tensors out if ``as_torch``."""
    core = engine.core
    batch, length = inputs.shape
    labels = None
    if options.labels is not None:
        labels = _labels(options.labels, inputs.shape, config.vocab_size)
    kept = _kept_positions(options.logits_to_keep, length)
    hidden, fields = _decode(engine, config, inputs, options, as_torch)
    flat = hidden.reshape(-1, hidden.shape[-1])
    logits = core.output(hidden[:, length - kept :].reshape(-1, hidden.shape[-1]))

    def head(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        return logits[rows] if kept == length else core.output(flat[rows])

    if labels is not None:
        loss = np.asarray(_cross_entropy(head, labels), np.float32)
        fields["loss"] = _public(loss, "float32", as_torch)
    fields["logits"] = _public(logits.reshape(batch, kept, -1), "float32", as_torch)
    return _returned(CausalLMOutputWithPast(**fields), config, options)


def run_decoder(
    engine: Engine, config: Any, inputs: DecoderInputs, options: ForwardOptions, *, as_torch: bool
) -> Any:
    """As :func:`run_forward`, but the final norm's output instead of logits."""
    hidden, fields = _decode(engine, config, inputs, options, as_torch)
    fields["last_hidden_state"] = _public(hidden, engine.core.dtype, as_torch)
    return _returned(BaseModelOutputWithPast(**fields), config, options)


def _decode(
    engine: Engine, config: Any, inputs: DecoderInputs, options: ForwardOptions, as_torch: bool
) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
    """The final norm's output (batch, length, hidden_size), and the cache and the hidden states
    that were asked for."""
    if options.output_attentions or (
        options.output_attentions is None and config.output_attentions
    ):
        raise ValueError(
            "output_attentions: the engine never holds attention weights; "
            "output_hidden_states=True and model.taps() give what every layer computes"
        )
    core = engine.core
    past = _checked_cache(options.past_key_values, inputs)
    mask = _mask(options.attention_mask, inputs, past)
    start = 0 if past is None else past.get_seq_length()
    session = inputs.session(
        core,
        np.ascontiguousarray(mask[:, start:]),
        _positions(options.position_ids, inputs.shape, start),
        recorders(engine),
        None if past is None else past._core,
    )
    wants_states = _default(options.output_hidden_states, config.output_hidden_states)
    hidden, states = session.forward(wants_states)
    fields: dict[str, Any] = {}
    if _default(options.use_cache, config.use_cache):
        fields["past_key_values"] = KeyValueCache(session.cache(), mask)
    if states is not None:
        fields["hidden_states"] = tuple(_public(layer, core.dtype, as_torch) for layer in states)
    return hidden, fields


def _public(array: npt.NDArray[Any], dtype: str, as_torch: bool) -> Any:
    return arrays.as_torch(array, dtype) if as_torch else array


def _returned(output: ModelOutput, config: Any, options: ForwardOptions) -> Any:
    return output if _default(options.return_dict, config.use_return_dict) else output.to_tuple()


def _default(value: bool | None, configured: bool) -> bool:
    return bool(configured if value is None else value)


def _checked_cache(past_key_values: Any, inputs: DecoderInputs) -> KeyValueCache | None:
    if past_key_values is None:
        return None
    if not isinstance(past_key_values, KeyValueCache):
        raise TypeError(
            "past_key_values: expected what forward(use_cache=True) returned, "
            f"got {type(past_key_values).__name__}"
        )
    if past_key_values.batch_size != inputs.shape[0]:
        raise ValueError(
            f"past_key_values: expected the cache of {inputs.shape[0]} sequences, "
            f"got one of {past_key_values.batch_size}"
        )
    return past_key_values


def _mask(
    attention_mask: Any, inputs: DecoderInputs, past: KeyValueCache | None
) -> npt.NDArray[np.uint8]:
    """(batch, length of the cache + length); what is not given is what the cache saw, then ones."""
    seen = np.empty((inputs.shape[0], 0), np.uint8) if past is None else past._attention_mask
    if attention_mask is None:
        return np.hstack([seen, np.ones(inputs.shape, np.uint8)])
    start = seen.shape[1]
    mask = arrays.mask_array(attention_mask, (inputs.shape[0], start + inputs.shape[1]))
    if not np.array_equal(mask[:, :start], seen):
        raise ValueError(
            "attention_mask: expected the mask that the cached tokens came with in front, got "
            "another one; run the prompt again"
        )
    return mask


def _positions(position_ids: Any, shape: tuple[int, int], start: int) -> npt.NDArray[np.int32]:
    """(batch, length); by default those of the whole row, padding included, as in the reference."""
    if position_ids is None:
        positions = np.arange(start, start + shape[1])
    else:
        positions = arrays.integer_array(position_ids, "position_ids")
        if positions.shape not in {shape, (1, shape[1]), shape[1:]}:
            raise ValueError(
                f"position_ids: expected shape {shape} or {(1, shape[1])}, got {positions.shape}"
            )
        if positions.size and not 0 <= positions.min() <= positions.max() < 2**31:
            raise ValueError(
                f"position_ids: expected positions in [0, 2**31), got {positions.min()} to "
                f"{positions.max()}"
            )
    return np.ascontiguousarray(np.broadcast_to(positions, shape), np.int32)


def _labels(labels: Any, shape: tuple[int, int], vocab_size: int) -> npt.NDArray[np.int64]:
    array = arrays.integer_array(labels, "labels")
    if array.shape != shape:
        raise ValueError(f"labels: expected shape {shape}, that of input_ids, got {array.shape}")
    predicted = array[:, 1:]  # nothing predicts the first token, whose label may be any
    ids = predicted[predicted != IGNORED_LABEL]
    outside = ids[(ids < 0) | (ids >= vocab_size)]
    if outside.size:
        raise IndexError(
            f"labels: expected ids in [0, {vocab_size}), or {IGNORED_LABEL} to leave one out, got "
            f"{outside[0]}"
        )
    return array


def _kept_positions(logits_to_keep: Any, length: int) -> int:
    if not isinstance(logits_to_keep, int) or logits_to_keep < 0:
        raise ValueError(
            "logits_to_keep: expected the number of last positions, or 0 for all, "
            f"got {logits_to_keep!r:.100}"
        )
    return length if logits_to_keep == 0 else min(logits_to_keep, length)


def _cross_entropy(head: Any, labels: npt.NDArray[np.int64]) -> float:
    """Mean of -log p over the tokens that are labelled: position t predicts labels[t + 1]. NaN
    where there is none, as in torch. Some rows of logits at a time, summed in float64."""
    targets = np.full_like(labels, IGNORED_LABEL)
    targets[:, :-1] = labels[:, 1:]
    rows = np.flatnonzero(targets != IGNORED_LABEL)
    wanted = targets.reshape(-1)[rows]
    total = 0.0
    for first in range(0, len(rows), _LOSS_ROWS):
        part = slice(first, first + _LOSS_ROWS)
        total -= float(
            _core.log_probabilities(head(rows[part]), wanted[part]).sum(dtype=np.float64)
        )
    return total / len(rows) if len(rows) else float("nan")
