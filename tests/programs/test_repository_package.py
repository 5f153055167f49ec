"""`internvl`: ours for running a model, the repository's own for the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.programs.cases import IMAGES
from tests.programs.running import RUN, execute, path_with, run_source
from tests.support.goldens import DATA

CHECKPOINT = DATA / "ckpt_rmsnorm"


def output(source: str, folder: Path, *path: Path) -> str:
    return run_source(source, folder, path_with(*path)).stdout


def repository(folder: Path) -> Path:
    """A checkout's layout: `internvl` itself has no __init__.py."""
    package = folder / "internvl_chat" / "internvl"
    for name in ("model/internvl_chat", "model/internlm2", "train", "patch"):
        (package / name).mkdir(parents=True)
        (package / name / "__init__.py").write_text("where = 'repository'\n", encoding="utf-8")
    for name in ("dist_utils", "train/dataset", "train/trainer", "model/internlm2/tokenization"):
        (package / f"{name}.py").write_text("where = 'repository'\n", encoding="utf-8")
    return package.parent


@pytest.mark.parametrize(
    "statement",
    [
        "from internvl.conversation import Conversation, SeparatorStyle, get_conv_template",
        "from internvl.conversation import conv_templates, register_conv_template",
        "from internvl.model import load_model_and_tokenizer",
        "from internvl.model.internvl_chat import InternVLChatConfig, InternVLChatModel",
        "from internvl.model.internvl_chat import InternVisionConfig",
        "from internvl.model.internvl_chat.configuration_intern_vit import InternVisionConfig",
        "from internvl.model.internvl_chat.configuration_internvl_chat import InternVLChatConfig",
        "from internvl.model.internvl_chat.modeling_internvl_chat import InternVLChatModel",
        "from internvl.model.internvl_chat.modeling_intern_vit import InternVisionModel",
        "from internvl.train.constants import IMG_CONTEXT_TOKEN, IMAGENET_MEAN, SIGLIP_STD",
        "from internvl.train.dataset import build_transform, find_closest_aspect_ratio",
    ],
)
def test_what_programs_import(statement: str, tmp_path: Path) -> None:
    assert output(f"{statement}\nprint('ok')", tmp_path) == "ok\n"


def test_dynamic_preprocess_has_the_repositorys_default(tmp_path: Path) -> None:
    source = (
        "from internvl.train.dataset import dynamic_preprocess\n"
        "from PIL import Image\n"
        f"image = Image.open({str(IMAGES / 'panorama.jpg')!r})\n"
        "counts = [len(dynamic_preprocess(image, image_size=28)),\n"
        "          len(dynamic_preprocess(image, 1, 12, 28, True))]\n"
        "import internvl_native\n"
        "print(counts, len(internvl_native.dynamic_preprocess(image, image_size=28)))\n"
    )
    counts, twelve = output(source, tmp_path).rsplit(" ", 1)
    assert int(twelve) > 6
    assert counts == f"[6, {int(twelve) + 1}]"


def test_model_of_an_evaluation(tmp_path: Path) -> None:
    source = (
        "import argparse\n"
        "from internvl.model import load_model_and_tokenizer\n"
        f"args = argparse.Namespace(checkpoint={str(CHECKPOINT)!r}, auto=True,\n"
        "                           load_in_8bit=False, load_in_4bit=False)\n"
        "model, tokenizer = load_model_and_tokenizer(args)\n"
        "print(model.dtype, model.template, len(tokenizer))\n"
        "args.load_in_8bit = True\n"
        "try:\n    load_model_and_tokenizer(args)\nexcept ValueError as error:\n    print(error)\n"
    )
    first, second = output(source, tmp_path).splitlines()
    assert first.split()[0].replace("torch.", "") == "bfloat16"
    assert second.startswith("load_in_8bit: ")


def test_other_modules_are_the_repositorys(tmp_path: Path) -> None:
    source = (
        "import internvl.dist_utils, internvl.model.internlm2.tokenization, internvl.patch\n"
        "import internvl.train.trainer, internvl.train.dataset, internvl.model\n"
        "for name in ('dist_utils', 'model.internlm2.tokenization', 'patch', 'train.trainer'):\n"
        "    assert sys.modules[f'internvl.{name}'].where == 'repository'\n"
        "for name in ('train.dataset', 'model'):\n"
        "    assert not hasattr(sys.modules[f'internvl.{name}'], 'where')\n"
        "print('ok')\n"
    )
    assert output("import sys\n" + source, tmp_path, repository(tmp_path)) == "ok\n"


def test_other_modules_without_the_repository(tmp_path: Path) -> None:
    source = (
        "for name in ('internvl.patch', 'internvl.train.trainer_dpo'):\n"
        "    try:\n        __import__(name)\n"
        "    except ModuleNotFoundError as error:\n        print(error.name, error)\n"
    )
    lines = output(source, tmp_path).splitlines()
    assert [line.split()[0] for line in lines] == ["internvl.patch", "internvl.train.trainer_dpo"]
    assert all("internvl_chat on PYTHONPATH" in line for line in lines)


def test_names_of_training_are_missing(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "from internvl.train.dataset import WeightedConcatDataset\n", encoding="utf-8"
    )
    done = execute([*RUN, "program.py"], tmp_path)
    assert done.returncode == 1
    assert "cannot import name 'WeightedConcatDataset' from 'internvl.train.dataset'" in done.stderr
