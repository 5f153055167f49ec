"""prompts.json: what the conversation templates make of histories, questions and systems."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.reference.torch_reference import TorchReference
from tests.support.goldens import read_json


def regenerate(impl: TorchReference, data: Path) -> dict[str, Any]:
    stored = read_json(data / "prompts.json")
    defaults = {name: impl.get_conv_template(name).system_message for name in stored["defaults"]}
    prompts = []
    for entry in stored["prompts"]:
        template = impl.get_conv_template(entry["template"])
        if entry["system_message"] is not None:
            template.system_message = entry["system_message"]
        for question, answer in entry["history"]:
            template.append_message(template.roles[0], question)
            template.append_message(template.roles[1], answer)
        template.append_message(template.roles[0], entry["question"])
        template.append_message(template.roles[1], None)
        result = {
            "prompt": template.get_prompt(),
            "sep": template.sep,
            "sep_stripped": template.sep.strip(),
            "roles": list(template.roles),
        }
        prompts.append({**entry, **result})
    return {"prompts.json": {"defaults": defaults, "prompts": prompts}}
