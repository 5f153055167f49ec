"""VLMEvalKit's and lmms-eval's wrappers of InternVL-Chat, unedited, as far as they are the model's.

VLMEVALKIT_REPOSITORY and LMMS_EVAL_REPOSITORY name checkouts. The wrappers' files are run; the rest
of the harnesses (hundreds of data sets and their dependencies) is replaced by a few lines.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from tests.programs.cases import IMAGES
from tests.programs.running import run_source, works
from tests.support.goldens import DATA

import internvl_native

CHECKPOINT = DATA / "ckpt_layernorm"  # the wrappers cut tiles of 448 pixels, whatever the model
QUESTION = "What is this?"
NAMES = ["land.jpg", "port.jpg"]
MAX_NUM = 6

# Packages whose __init__ is not executed, and modules with the few names that are used.
PACKAGES = """
import re, sys, types
from pathlib import Path

def package(name, folder):
    module = types.ModuleType(name)
    module.__path__ = [str(folder)]
    sys.modules[name] = module

def stub(name, **names):
    module = types.ModuleType(name)
    vars(module).update(names)
    sys.modules[name] = module
"""

VLMEVALKIT = """
from packaging.version import parse
root = Path({repository!r})
package("vlmeval", root / "vlmeval")
package("vlmeval.vlm", root / "vlmeval" / "vlm")
stub("vlmeval.dataset", DATASET_TYPE=lambda name: "VQA", DATASET_MODALITY=lambda name: "IMAGE",
     build_dataset=None, infer_dataset_basename=None)
stub("vlmeval.smp", encode_image_to_base64=None, concat_images_vlmeval=None, parse_file=None,
     listinstr=lambda words, text: any(word in text for word in words), cn_string=None,
     version_cmp=lambda a, b, operator: parse(a) >= parse(b))
from vlmeval.vlm.internvl import InternVLChat

def message(*names):
    parts = [dict(type="image", value={images!r} + "/" + name) for name in names]
    return [*parts, dict(type="text", value={question!r})]

answers = []
for version in ("V1.5", "V2.0"):
    wrapper = InternVLChat({checkpoint!r}, version=version, max_new_tokens=12)
    answers.append(wrapper.generate_inner(message({names!r}[0])))
    answers.append(wrapper.generate_inner(message(*{names!r})))
"""

LMMS_EVAL = """
import torch
root = Path({repository!r})
stub("loguru", logger=None)
package("lmms_eval", root / "lmms_eval")
package("lmms_eval.api", root / "lmms_eval" / "api")
stub("lmms_eval.api.instance", Instance=object)
stub("lmms_eval.api.model", lmms=object)
stub("lmms_eval.api.registry", register_model=lambda name: lambda model: model)
package("lmms_eval.models", root / "lmms_eval" / "models")
package("lmms_eval.models.simple", root / "lmms_eval" / "models" / "simple")
from PIL import Image
from lmms_eval.models.simple.internvl2 import InternVL2

class Request:
    def __init__(self, names):
        images = [Image.open({images!r} + "/" + name).convert("RGB") for name in names]
        settings = dict(max_new_tokens=12, until=["\\n"], temperature=0)
        self.args = ({question!r}, settings, lambda doc: images, 0, "task", "split")

model = InternVL2(pretrained={checkpoint!r})
model.task_dict = {{"task": {{"split": [None]}}}}
answers = model.generate_until([Request({names!r}[:1]), Request({names!r})])
"""

REPORT = """
import json
Path("answers.json").write_text(json.dumps(answers))
"""


def answers_of(harness: str, variable: str, folder: Path) -> list[str]:
    if variable not in os.environ:
        pytest.skip(f"{variable} is not set")
    if not works("torchvision"):
        pytest.skip("torchvision does not work")
    body = harness.format(
        repository=os.environ[variable],
        images=str(IMAGES),
        checkpoint=str(CHECKPOINT),
        question=QUESTION,
        names=NAMES,
    )
    run_source(PACKAGES + body + REPORT, folder)
    answers: list[str] = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    return answers


def expected(names: list[str], question: str, separate: bool) -> str:
    """What the package itself answers to the prompt that the wrapper makes."""
    model = internvl_native.AutoModel.from_pretrained(CHECKPOINT, torch_dtype="bfloat16")
    tokenizer = internvl_native.AutoTokenizer.from_pretrained(CHECKPOINT)
    tiles = [
        internvl_native.load_image(IMAGES / name, max_num=MAX_NUM, return_tensors="np")
        for name in names
    ]
    answer = model.chat(
        tokenizer,
        np.concatenate(tiles),
        question,
        {"max_new_tokens": 12, "do_sample": False},
        num_patches_list=[len(part) for part in tiles] if separate else None,
    )
    return str(answer)


def test_vlmevalkit(tmp_path: Path) -> None:
    both = "Image-1: <image>\nImage-2: <image>\n" + QUESTION
    assert answers_of(VLMEVALKIT, "VLMEVALKIT_REPOSITORY", tmp_path) == [
        expected(NAMES[:1], QUESTION, separate=False),
        expected(NAMES, QUESTION, separate=False),
        expected(NAMES[:1], f"<image>\n{QUESTION}", separate=True),
        expected(NAMES, both, separate=True),
    ]


def test_lmms_eval(tmp_path: Path) -> None:
    assert answers_of(LMMS_EVAL, "LMMS_EVAL_REPOSITORY", tmp_path) == [
        expected(NAMES[:1], f"<image>\n{QUESTION}", separate=True),
        expected(NAMES, f"<image> <image>\n{QUESTION}", separate=True),
    ]
