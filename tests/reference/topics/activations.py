"""activations.json and activations_*.safetensors: every stage of one prompt's forward pass.

Kept inputs per checkpoint: image, input_size, max_num, prompt_question. The reference's bfloat16
run is measured against its float32 run over all rows; the file keeps some of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.reference.torch_reference import TorchReference
from tests.support.chat_cases import recorded_generate
from tests.support.goldens import read_json, sha256
from tests.support.implementation import load_tiles

EDGE_ROWS = 4  # rows kept at each end, with about twelve between them


def taps_of(model: Any, pixel_values: torch.Tensor, input_ids: torch.Tensor) -> dict[str, Any]:
    """The named activations, float32, with forward hooks where no output gives them."""
    taps: dict[str, torch.Tensor] = {}
    hooks = []

    def keep(name: str, module: torch.nn.Module) -> None:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            taps[name] = output[0] if isinstance(output, tuple) else output

        hooks.append(module.register_forward_hook(hook))

    vision = model.vision_model
    keep("vit.embeddings", vision.embeddings)
    for index, layer in enumerate(vision.encoder.layers, 1):
        keep(f"vit.layer{index}", layer)
    hooks.append(
        model.mlp1.register_forward_pre_hook(
            lambda _module, inputs: taps.__setitem__("pixel_shuffle", inputs[0])
        )
    )
    keep("vit_embeds", model.mlp1)
    decoder = model.language_model.model
    for index, layer in enumerate(decoder.layers, 1):
        keep(f"llm.layer{index}", layer)
    keep("llm.norm", decoder.norm)
    hooks.append(
        decoder.register_forward_pre_hook(
            lambda _module, _inputs, kwargs: taps.__setitem__(
                "llm.inputs_embeds", kwargs["inputs_embeds"]
            ),
            with_kwargs=True,
        )
    )
    with torch.no_grad():
        embeddings = model.language_model.get_input_embeddings()(input_ids)
        selected = input_ids == model.img_context_token_id
        features = model.extract_feature(pixel_values)
        embeddings[selected] = features.reshape(-1, features.shape[-1])
        output = model.language_model(
            inputs_embeds=embeddings, attention_mask=torch.ones_like(input_ids)
        )
    for hook in hooks:
        hook.remove()
    taps["llm.logits_last"] = output.logits[:, -1]
    return {name: value.float().numpy() for name, value in taps.items()}


def kept_rows(stored: dict[str, Any] | None, tap: np.ndarray) -> list[int] | None:
    """The rows of the stored file, or a fresh choice; None keeps all."""
    if stored is not None:
        return stored.get("rows")
    count = tap.shape[1]
    if tap.ndim < 3 or count <= 16:
        return None
    step = max(1, count // 12)
    rows = set(range(EDGE_ROWS)) | set(range(count - EDGE_ROWS, count)) | set(range(0, count, step))
    return sorted(rows)


def regenerate(impl: TorchReference, data: Path) -> dict[str, Any]:
    checkpoints = {}
    files: dict[str, Any] = {}
    for name, entry in read_json(data / "activations.json")["checkpoints"].items():
        tokenizer = impl.load_tokenizer(data / name)
        pixels = load_tiles(impl, entry["image"], entry["input_size"], entry["max_num"])
        runs = {}
        for dtype in ("float32", "bfloat16"):
            model = impl.load_model(data / name, dtype)
            pixel_values = torch.from_numpy(pixels).to(getattr(torch, dtype))
            with recorded_generate(model) as calls:
                model.chat(tokenizer, pixel_values, entry["prompt_question"], {"max_new_tokens": 1})
            input_ids = calls[0]["inputs"]["input_ids"]
            impl.renew(model)
            runs[dtype] = taps_of(model, pixel_values, input_ids)
        taps, arrays = {}, {"input_ids": input_ids.numpy()}
        for tap, exact in runs["float32"].items():
            error = runs["bfloat16"][tap] - exact
            stored = entry.get("taps", {}).get(tap)
            rows = kept_rows(stored, exact)
            taps[tap] = {
                "shape": list(exact.shape),
                "sum": float(exact.sum(dtype=np.float64)),
                "l2": float(np.linalg.norm(exact.astype(np.float64))),
                "absmax": float(np.abs(exact).max()),
                "bf16_max_abs": float(np.abs(error).max()),
                "bf16_rel_l2": float(
                    np.linalg.norm(error.astype(np.float64)) / np.linalg.norm(exact)
                ),
            }
            kept = exact
            if exact.ndim == 3 and len(exact) > 2:
                taps[tap]["tiles"] = "first, last"
                kept = kept[[0, -1]]
            if rows is not None:
                taps[tap]["rows"] = rows
                kept = kept[:, rows]
            arrays[tap] = kept
        files[f"activations_{name}.safetensors"] = arrays
        inputs = ("image", "input_size", "max_num", "prompt_question")
        checkpoints[name] = {
            **{key: entry[key] for key in inputs},
            "pixel_values_sha256": sha256(pixels),
            "tiles": len(pixels),
            "taps": taps,
            **{f"top5_{dtype}": top5(run["llm.logits_last"]) for dtype, run in runs.items()},
        }
    return {"activations.json": {"checkpoints": checkpoints}, **files}


def top5(logits: np.ndarray) -> list[Any]:
    values, indices = torch.from_numpy(logits[0]).topk(5)
    return [indices.tolist(), values.tolist()]
