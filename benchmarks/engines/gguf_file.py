"""The decoder of a checkpoint of benchmarks/checkpoint.py as a GGUF file, a llama's."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from benchmarks.checkpoint import Shape


class Tensors:
    """The bfloat16 tensors of a single safetensors file, as their bits."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            self.header: dict[str, Any] = json.loads(file.read(length))
        self.data = np.memmap(path, np.uint8, "r", 8 + length)

    def __getitem__(self, name: str) -> NDArray[np.uint16]:
        entry = self.header[name]
        start, stop = entry["data_offsets"]
        return self.data[start:stop].view(np.uint16).reshape(entry["shape"])


def write(path: Path, checkpoint: Path, sizes: Shape) -> None:
    """Writes all weights as bfloat16 and the norms as float32. The vocabulary is left out: tokens
    come as ids."""
    tensors = Tensors(checkpoint / "model.safetensors")
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_vocab_size(sizes.vocab)
    writer.add_context_length(32768)
    writer.add_embedding_length(sizes.width)
    writer.add_block_count(sizes.layers)
    writer.add_feed_forward_length(sizes.inner)
    writer.add_head_count(sizes.heads)
    writer.add_head_count_kv(sizes.kv_heads)
    writer.add_rope_dimension_count(sizes.width // sizes.heads)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_tokenizer_model("no_vocab")

    def add_matrix(name: str, bits: NDArray[np.uint16]) -> None:
        rows, columns = bits.shape
        data = np.ascontiguousarray(bits).view(np.uint8).reshape(rows, 2 * columns)
        writer.add_tensor(f"{name}.weight", data, raw_dtype=gguf.GGMLQuantizationType.BF16)

    def add_vector(name: str, bits: NDArray[np.uint16]) -> None:
        writer.add_tensor(f"{name}.weight", (bits.astype(np.uint32) << 16).view(np.float32))

    add_matrix("token_embd", tensors["language_model.model.tok_embeddings.weight"])
    for layer in range(sizes.layers):
        source, target = f"language_model.model.layers.{layer}.", f"blk.{layer}."
        query, key, value = split_qkv(tensors[source + "attention.wqkv.weight"], sizes)
        add_matrix(target + "attn_q", query)
        add_matrix(target + "attn_k", key)
        add_matrix(target + "attn_v", value)
        add_matrix(target + "attn_output", tensors[source + "attention.wo.weight"])
        add_matrix(target + "ffn_gate", tensors[source + "feed_forward.w1.weight"])
        add_matrix(target + "ffn_up", tensors[source + "feed_forward.w3.weight"])
        add_matrix(target + "ffn_down", tensors[source + "feed_forward.w2.weight"])
        add_vector(target + "attn_norm", tensors[source + "attention_norm.weight"])
        add_vector(target + "ffn_norm", tensors[source + "ffn_norm.weight"])
    add_vector("output_norm", tensors["language_model.model.norm.weight"])
    add_matrix("output", tensors["language_model.output.weight"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def split_qkv(
    bits: NDArray[np.uint16], sizes: Shape
) -> tuple[NDArray[np.uint16], NDArray[np.uint16], NDArray[np.uint16]]:
    """InternLM2 keeps the queries, the key and the value of each group of heads together."""
    head_dim = sizes.width // sizes.heads
    group = sizes.heads // sizes.kv_heads
    grouped = bits.reshape(sizes.kv_heads, group + 2, head_dim, sizes.width)

    def rows(part: NDArray[np.uint16]) -> NDArray[np.uint16]:
        return part.reshape(-1, sizes.width)

    return rows(grouped[:, :group]), rows(grouped[:, group]), rows(grouped[:, group + 1])
