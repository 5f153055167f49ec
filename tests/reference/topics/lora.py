"""lora.json and lora.safetensors: answers with LoRA layers, which peft runs beside the weights.

Kept inputs per case: case, ckpt, part (what the adapters were trained on), adapters (folders).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tests.reference.torch_reference import TorchReference
from tests.support.goldens import read_json
from tests.support.lora_cases import answers_of


def add_adapters(model: Any, part: str, folders: list[Path]) -> None:
    """Puts all of them into a part of the model ("" for all of it), active at once."""
    from peft import PeftModel

    if not folders:
        return
    target = model.get_submodule(part)
    names = [f"adapter{number}" for number in range(len(folders))]
    wrapped = PeftModel.from_pretrained(target, folders[0], adapter_name=names[0])
    for name, folder in zip(names[1:], folders[1:]):
        wrapped.load_adapter(folder, adapter_name=name)
    if len(names) > 1:
        wrapped.base_model.set_adapter(names)
    if part:
        setattr(model, part, wrapped)


def regenerate(impl: TorchReference, data: Path) -> dict[str, Any]:
    cases, arrays = [], dict[str, Any]()
    for case in read_json(data / "lora.json")["cases"]:
        model = impl.load_model(data / case["ckpt"])
        add_adapters(model, case["part"], [data / folder for folder in case["adapters"]])
        model.eval()
        with torch.no_grad():
            response, values = answers_of(impl, model, impl.load_tokenizer(data / case["ckpt"]))
        cases.append({**case, "response": response})
        arrays.update((f"{case['case']}.{name}", value) for name, value in values.items())
    return {"lora.json": {"cases": cases}, "lora.safetensors": arrays}
