"""From a config and the tensors of a checkpoint to the weights of the C++ model."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from internvl_native._core import CheckpointError
from internvl_native.checkpoint.intern_vit import LAYER_PREFIX, vision_layer, vision_model
from internvl_native.checkpoint.internlm2 import INTERNLM2
from internvl_native.checkpoint.llama import LLAMA
from internvl_native.checkpoint.loader import Checkpoint
from internvl_native.checkpoint.problems import raise_problems
from internvl_native.checkpoint.projector import projector
from internvl_native.checkpoint.safetensors import DTYPE_BITS, WEIGHT_DTYPES
from internvl_native.checkpoint.table import Table, TensorRows, renamed
from internvl_native.checkpoint.tensor import CheckpointTensor
from internvl_native.configuration import (
    DecoderConfig,
    InternVisionConfig,
    InternVLChatConfig,
)
from internvl_native.core_config import core_config
from internvl_native.dtypes import ELEMENT_SIZE
from internvl_native.pretrained_config import PretrainedConfig

if TYPE_CHECKING:
    from internvl_native._core import ByteSource

logger = logging.getLogger(__name__)

DECODER_FAMILIES = {"internlm2": INTERNLM2, "llama": LLAMA}


class RowRange(NamedTuple):
    """Consecutive rows of a row-major matrix in a checkpoint (C++ StoredRows)."""

    source: ByteSource
    offset: int
    """Bytes from the beginning of the source to the first of these rows; any alignment."""
    dtype: str
    """"float32", "bfloat16" or "float16"."""
    rows: int
    cols: int

    @property
    def nbytes(self) -> int:
        """Bytes of all these rows."""
        return self.rows * self.cols * ELEMENT_SIZE[self.dtype]


def weight_map(
    config: InternVLChatConfig | InternVisionConfig, checkpoint: Checkpoint
) -> dict[str, list[RowRange]]:
    """Canonical names (the fields of csrc/model/weights.h) -> where their rows lie, one range
    below the other. Vectors have one column. An InternVisionConfig gives the vision part alone.

    Raises one CheckpointError that lists what is missing, misshapen or of a dtype that is not
    that of weights. Tensors that the model has no use for are logged as transformers does.
    """
    core_config(config)  # nothing below meets a value that makes no sense
    if isinstance(config, InternVLChatConfig):
        _check_lora(config, checkpoint)
    table = _table(config, checkpoint)
    _check_tensors(table, checkpoint)
    unused = _unused(config, table, checkpoint)
    if unused:
        model = config.model_class
        logger.warning(
            "Some weights of the model checkpoint at %s were not used when initializing %s: %s\n"
            "They belong to another task or architecture, or config.json does not fit the files.",
            checkpoint.path, model, unused,
        )  # fmt: skip
    return {
        name: [part for rows in all_ for part in _row_ranges(rows, checkpoint)]
        for name, all_ in table.items()
    }


def unused_tensors(
    config: InternVLChatConfig | InternVisionConfig, checkpoint: Checkpoint
) -> list[str]:
    """Names of the tensors that no weight of the model comes from, sorted. The rest of a chat
    checkpoint does not count beside its vision part."""
    return _unused(config, _table(config, checkpoint), checkpoint)


def parameter_tensors(
    config: InternVLChatConfig | InternVisionConfig, checkpoint: Checkpoint
) -> dict[str, CheckpointTensor]:
    """The parameters of the model by the names that they have in the reference, in its order.

    Tied weights appear once; the vision part of a chat checkpoint by itself has names of its own,
    without "vision_model.".
    """
    prefix = _prefix(config, checkpoint)
    return {
        rows.tensor[len(prefix) :]: checkpoint.tensors[rows.tensor]
        for all_ in _table(config, checkpoint).values()
        for rows in all_
    }


def untied(config: InternVLChatConfig | InternVisionConfig, checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with an output layer of its own: an adapter changes it or the embeddings that
    it is tied to, not both."""
    if isinstance(config, InternVisionConfig) or not config.llm_config.tie_word_embeddings:
        return checkpoint
    model = DECODER_FAMILIES[config.llm_config.model_type].model(config.llm_config)
    embeddings, output = (
        f"language_model.{model[name][0].tensor}" for name in ("tok_embeddings", "output")
    )
    if output in checkpoint.tensors or embeddings not in checkpoint.tensors:
        return checkpoint
    tensors = {**checkpoint.tensors, output: checkpoint.tensors[embeddings]}
    return checkpoint._replace(tensors=tensors)


def _unused(config: PretrainedConfig, table: Table, checkpoint: Checkpoint) -> list[str]:
    prefix = _prefix(config, checkpoint)
    used = {rows.tensor for all_ in table.values() for rows in all_}
    # Old Llama checkpoints store this table, which transformers rebuilds without a word, too.
    return sorted(
        name
        for name in checkpoint.tensors
        if name.startswith(prefix) and name not in used and not name.endswith("rotary_emb.inv_freq")
    )


def _table(config: InternVLChatConfig | InternVisionConfig, checkpoint: Checkpoint) -> Table:
    if isinstance(config, InternVisionConfig):
        return _vision_table(config, checkpoint, _prefix(config, checkpoint))
    return {
        **_vision_table(config.vision_config, checkpoint, "vision_model."),
        **_decoder_table(config.llm_config, checkpoint, "language_model."),
        **renamed(projector(config), "projector.", "mlp1."),
    }


def _prefix(config: PretrainedConfig, checkpoint: Checkpoint) -> str:
    """Before the model's names in the files: that of the vision part of a chat checkpoint, if the
    model is that part."""
    inside = "vision_model.embeddings.class_embedding" in checkpoint.tensors
    return "vision_model." if inside and isinstance(config, InternVisionConfig) else ""


def _vision_table(config: InternVisionConfig, checkpoint: Checkpoint, prefix: str) -> Table:
    layers = _layers(
        vision_layer(config), config.num_hidden_layers, LAYER_PREFIX, prefix, checkpoint
    )
    return renamed({**vision_model(config), **layers}, "vision.", prefix)


def _decoder_table(config: DecoderConfig, checkpoint: Checkpoint, prefix: str) -> Table:
    family = DECODER_FAMILIES[config.model_type]
    model = family.model(config)
    (output,) = model["output"]
    # A tied checkpoint usually stores the embeddings only; an output layer of its own comes first.
    if config.tie_word_embeddings and prefix + output.tensor not in checkpoint.tensors:
        model["output"] = model["tok_embeddings"]
    layers = _layers(
        family.layer(config), config.num_hidden_layers, family.layer_prefix, prefix, checkpoint
    )
    first = {"tok_embeddings": model.pop("tok_embeddings")}
    return renamed({**first, **layers, **model}, "decoder.", prefix)


def _layers(layer: Table, count: int, layer_prefix: str, prefix: str, files: Checkpoint) -> Table:
    if count > len(files.tensors):  # before a table of that many layers is built
        raise CheckpointError(
            f"{files.path}: expected {count} layers ({prefix}{layer_prefix.format('N')}) by "
            f"num_hidden_layers, got {len(files.tensors)} tensors in all"
        )
    table: Table = {}
    for number in range(count):
        table.update(renamed(layer, f"layers.{number}.", layer_prefix.format(number)))
    return table


def _check_lora(config: InternVLChatConfig, checkpoint: Checkpoint) -> None:
    """config.json says which parts have LoRA layers inside, and their rank."""
    for part, key in (("vision_model", "use_backbone_lora"), ("language_model", "use_llm_lora")):
        configured, stored = getattr(config, key) or 0, checkpoint.lora_ranks.get(part, 0)
        if configured == stored:
            continue
        if stored:
            raise CheckpointError(
                f"{checkpoint.path}: {key}: expected {stored}, the rank of the LoRA layers of "
                f"{part}, got {configured} in config.json"
            )
        logger.warning(
            "%s: config.json says %s=%s, but there are no LoRA layers in %s: taken as merged. "
            "Set %s to 0 in config.json.", checkpoint.path, key, configured, part, key,
        )  # fmt: skip


def _check_tensors(table: Table, checkpoint: Checkpoint) -> None:
    problems = []
    for rows in {rows.tensor: rows for all_ in table.values() for rows in all_}.values():
        tensor = checkpoint.tensors.get(rows.tensor)
        where = f"{tensor.path if tensor else checkpoint.path}: tensor {rows.tensor!r}"
        if tensor is None:
            problems.append(f"{where}: expected shape {rows.shape}, got no such tensor")
        elif tensor.shape != rows.shape:
            problems.append(f"{where}: expected shape {rows.shape}, got {tensor.shape}")
        elif tensor.dtype not in WEIGHT_DTYPES:
            expected = ", ".join(WEIGHT_DTYPES)
            problems.append(f"{where}: expected a dtype of {expected}, got {tensor.dtype}")
    summary = "tensors that do not fit config.json"
    raise_problems(checkpoint.path, summary, problems, _advice(table, checkpoint))


def _advice(table: Table, checkpoint: Checkpoint) -> str:
    """What to do where the cause of misfits is one that fine-tuned checkpoints often have."""
    tensors = checkpoint.tensors
    for rows in table.get("decoder.tok_embeddings", []):
        shape = tensors[rows.tensor].shape if rows.tensor in tensors else rows.shape
        if shape[:1] != rows.shape[:1] and shape[1:] == rows.shape[1:]:
            return f"For a vocabulary that was resized, set llm_config.vocab_size to {shape[0]}."
    names = {rows.tensor for all_ in table.values() for rows in all_}
    missing = sorted(names - tensors.keys())
    if not missing:
        return ""
    prefixes = (name[: -len(missing[0])] for name in tensors if name.endswith(f".{missing[0]}"))
    for prefix in prefixes:
        if all(prefix + name in tensors for name in missing):
            return (
                f"All that are missing are there with {prefix!r} in front of their names: save the "
                "model without what it is wrapped in."
            )
    return ""


def _row_ranges(rows: TensorRows, checkpoint: Checkpoint) -> list[RowRange]:
    tensor = checkpoint.tensors[rows.tensor]
    dtype, row_bytes = WEIGHT_DTYPES[tensor.dtype], rows.cols * DTYPE_BITS[tensor.dtype] // 8
    source, offset = tensor.location()
    return [
        RowRange(source, offset + part.start * row_bytes, dtype, len(part), rows.cols)
        for part in (rows.ranges() if rows.ranges else [range(rows.rows)])
    ]
