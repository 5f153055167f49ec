"""`transformers` where none is installed: the names that this package has, advice for the rest."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.programs.running import HIDDEN_TRANSFORMERS, execute, path_with, run_source

from internvl_native.programs.stand_in import MODULES, stand_in

PATCH = "import internvl_native.patch_transformers\n"


def output(source: str, folder: Path) -> str:
    return run_source(PATCH + source, folder, path_with(HIDDEN_TRANSFORMERS)).stdout


@pytest.mark.parametrize("module", MODULES)
def test_every_name_is_there(module: str) -> None:
    for name in MODULES[module]:
        assert stand_in(module, name) is not None


def test_submodules_give_the_same_objects(tmp_path: Path) -> None:
    source = (
        "import internvl_native, transformers\n"
        "from transformers.generation import GenerationConfig\n"
        "from transformers.generation.streamers import TextIteratorStreamer\n"
        "from transformers.models.auto.modeling_auto import AutoModel\n"
        "import transformers.generation.utils\n"
        "assert transformers.GenerationConfig is GenerationConfig\n"
        "assert internvl_native.TextIteratorStreamer is TextIteratorStreamer\n"
        "assert internvl_native.AutoModel is AutoModel is transformers.AutoModel\n"
        "print(transformers.__version__)\n"
    )
    assert output(source, tmp_path) == "4.37.2\n"


@pytest.mark.parametrize(
    "statement",
    [
        "from transformers import Qwen2ForCausalLM",
        "from transformers.models.qwen2 import Qwen2ForCausalLM",
        "import transformers.models.qwen2",
        "from transformers.generation import Qwen2ForCausalLM",
    ],
)
def test_other_names_say_what_to_install(statement: str, tmp_path: Path) -> None:
    source = f"try:\n    {statement}\nexcept ImportError as error:\n    print(error)\n"
    name = "qwen2" if "models" in statement else "Qwen2ForCausalLM"
    message = output(source, tmp_path)
    assert message.startswith(f"cannot import name '{name}' from 'transformers")
    assert message.endswith("pip install transformers\n")


def test_other_attributes_are_missing(tmp_path: Path) -> None:
    source = (
        "import transformers\n"
        "print(hasattr(transformers, 'pipeline'))\n"
        "try:\n    transformers.pipeline\nexcept AttributeError as error:\n    print(error)\n"
        "print('AutoModel' in dir(transformers))\n"
    )
    missing, message, listed = output(source, tmp_path).splitlines()
    assert (missing, listed) == ("False", "True")
    assert "has no pipeline: pip install transformers" in message


def test_star_import(tmp_path: Path) -> None:
    assert output("from transformers import *\nprint(AutoModel)", tmp_path) == (
        "<class 'internvl_native.auto.AutoModel'>\n"
    )


def test_set_seed_and_logging(tmp_path: Path) -> None:
    source = (
        "import logging as python_logging, random\n"
        "import numpy as np\n"
        "from transformers import logging, set_seed\n"
        "from transformers.trainer_utils import set_seed as the_same\n"
        "from transformers.utils import logging as logging2\n"
        "assert set_seed is the_same and logging is logging2\n"
        "set_seed(7)\nfirst = (random.random(), np.random.rand())\n"
        "set_seed(7)\nassert first == (random.random(), np.random.rand())\n"
        "logging.set_verbosity_error()\n"
        "assert logging.get_verbosity() == logging.ERROR == python_logging.ERROR\n"
        "assert not python_logging.getLogger('internvl_native.modeling').isEnabledFor(30)\n"
        "logging.set_verbosity_info()\n"
        "assert python_logging.getLogger('internvl_native.modeling').isEnabledFor(20)\n"
        "print(logging.get_logger('mine').name, logging.get_logger().name)\n"
    )
    assert output(source, tmp_path) == "mine internvl_native\n"


def test_uninstall_takes_it_away(tmp_path: Path) -> None:
    source = (
        "import sys\n"
        "before = list(sys.meta_path)\n"
        "from internvl_native.patch_transformers import install, uninstall\n"
        "install()\ninstall()\n"
        "import transformers.generation, internvl.model\n"
        "uninstall()\n"
        "assert sys.meta_path == before\n"
        "print([name for name in sys.modules if name.startswith(('transformers', 'internvl.'))])"
    )
    (tmp_path / "program.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "program.py"]
    done = execute(command, tmp_path, path_with(HIDDEN_TRANSFORMERS))
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
