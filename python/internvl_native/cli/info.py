"""`internvl-native info`: what a checkpoint is, without loading its weights."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from internvl_native.checkpoint.resolve import resolve_checkpoint
from internvl_native.checkpoint.summary import ELEMENT_BYTES, CheckpointSummary, summarize
from internvl_native.cli.loading import read_config
from internvl_native.cli.options import add_max_num
from internvl_native.core_config import num_image_token, tile_size
from internvl_native.image_processing import tile_grid
from internvl_native.units import count, plural, size

EXAMPLES = """\
examples:
  internvl-native info path/to/checkpoint
  internvl-native info OpenGVLab/Mini-InternVL-Chat-2B-V1-5 --json | jq .parameters
"""

_IMAGE_SIZES = ((448, 448), (640, 480), (1280, 720), (1920, 1080), (1080, 2400), (4000, 3000))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options and help."""
    parser.usage = "%(prog)s [options] MODEL"
    parser.description = "Shows what a checkpoint is. Its weights are not loaded, nor downloaded."
    parser.epilog = EXAMPLES
    parser.add_argument("model", metavar="MODEL", help="checkpoint folder or hub name")
    add_max_num(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """Prints the summary."""
    config = read_config(arguments.model, local_files_only=True)
    folder = resolve_checkpoint(arguments.model, local_files_only=True)
    facts = _facts(folder, summarize(config, folder), arguments.max_num)
    print(json.dumps(facts, indent=2, ensure_ascii=False) if arguments.json else _text(facts))
    return 0


def _facts(folder: Path, summary: CheckpointSummary, max_num: int) -> dict[str, Any]:
    """What `--json` prints; sizes in bytes."""
    config = summary.config
    vision, llm = config.vision_config, config.llm_config
    side, tokens = tile_size(config), num_image_token(config)
    return {
        "path": str(folder),
        "vision_model": {
            "architecture": (vision.architectures or ["InternVisionModel"])[0],
            "num_hidden_layers": vision.num_hidden_layers,
            "hidden_size": vision.hidden_size,
            "num_attention_heads": vision.num_attention_heads,
        },
        "language_model": {
            "architecture": (llm.architectures or [llm.model_type])[0],
            "num_hidden_layers": llm.num_hidden_layers,
            "hidden_size": llm.hidden_size,
            "num_attention_heads": llm.num_attention_heads,
            "num_key_value_heads": llm.num_key_value_heads,
            "vocab_size": llm.vocab_size,
            "max_position_embeddings": llm.max_position_embeddings,
        },
        "template": config.template,
        "parameters": summary.parameters,
        "dtype": summary.dtype,
        "files": summary.files,
        "memory": {
            dtype: {
                "weights": summary.weight_bytes(dtype),
                "key_values_per_token": summary.key_value_bytes(dtype),
            }
            for dtype in ELEMENT_BYTES
        },
        "tile_size": side,
        "num_image_token": tokens,
        "max_num": max_num,
        "images": [_image(pixels, max_num, side, tokens, config) for pixels in _IMAGE_SIZES],
    }


def _image(
    pixels: tuple[int, int], max_num: int, side: int, tokens: int, config: Any
) -> dict[str, Any]:
    grid = tile_grid(pixels, 1, max_num, side, config.use_thumbnail)
    return {
        "size": pixels,
        "grid": (grid.columns, grid.rows),
        "tiles": grid.tiles,
        "tokens": grid.tiles * tokens,
    }


def _text(facts: dict[str, Any]) -> str:
    vision, llm = facts["vision_model"], facts["language_model"]
    parts = ", ".join(f"{name} {count(value)}" for name, value in facts["parameters"].items())
    stored = f"{size(sum(facts['files'].values()))} in {plural(len(facts['files']), 'file')}"
    lines = [
        facts["path"],
        "",
        f"vision model     {vision['architecture']}, {_shape(vision)}, "
        f"{plural(vision['num_attention_heads'], 'head')}",
        f"language model   {llm['architecture']}, {_shape(llm)}, "
        f"{plural(llm['num_attention_heads'], 'head')}, {llm['num_key_value_heads']} of them "
        "with keys and values",
        f"vocabulary       {plural(llm['vocab_size'], 'token')}",
        f"context          {plural(llm['max_position_embeddings'], 'token')}",
        f"template         {facts['template']}",
        f"parameters       {count(sum(facts['parameters'].values()))}: {parts}",
        f"stored as        {facts['dtype']}, {stored}",
        "",
        "memory           weights     keys and values of 1000 tokens",
        *(
            f"  {dtype:<14} {size(bytes_['weights']):<11} "
            f"{size(1000 * bytes_['key_values_per_token'])}"
            for dtype, bytes_ in facts["memory"].items()
        ),
        "",
        f"a tile is {facts['tile_size']} x {facts['tile_size']} pixels and becomes "
        f"{plural(facts['num_image_token'], 'token')}; with --max-num {facts['max_num']}",
        "image            grid      tiles   tokens",
        *(
            f"  {_by(image['size']):<14} {_by(image['grid']):<9} {image['tiles']:<7} "
            f"{image['tokens']}"
            for image in facts["images"]
        ),
    ]
    return "\n".join(lines)


def _shape(part: dict[str, Any]) -> str:
    return f"{plural(part['num_hidden_layers'], 'layer')} of {part['hidden_size']}"


def _by(pair: tuple[int, int]) -> str:
    return f"{pair[0]} x {pair[1]}"
