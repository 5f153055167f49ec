"""An installed transformers: native for InternVL-Chat checkpoints, itself for everything else."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.programs.running import (
    INSTALLED,
    execute,
    needs_transformers,
    run_source,
)
from tests.support.goldens import DATA

from internvl_native.programs.native_checkpoint import is_native

CHECKPOINT = DATA / "ckpt_rmsnorm"
LLAMA = DATA / "extra" / "ckpt_llama"

TINY_LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 16,
    "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1, "vocab_size": 32,
}  # fmt: skip


def in_cache(cache: Path, name: str, checkpoint: Path = CHECKPOINT) -> None:
    """Puts a checkpoint into a Hugging Face cache as the hub's `name`."""
    repository = cache / ("models--" + name.replace("/", "--"))
    (repository / "snapshots").mkdir(parents=True)
    (repository / "snapshots" / "abc").symlink_to(checkpoint)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc", encoding="utf-8")


def write_config(folder: Path, config: object) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.mark.parametrize("checkpoint", [CHECKPOINT, LLAMA], ids=lambda path: str(path.name))
def test_chat_checkpoints_are_native(checkpoint: Path) -> None:
    assert is_native(checkpoint, {})
    assert is_native(str(checkpoint), {"revision": None, "device_map": "auto"})
    assert is_native(checkpoint.parent, {"subfolder": checkpoint.name})


def test_a_name_in_the_cache_is_native(tmp_path: Path) -> None:
    in_cache(tmp_path, "someone/chat")
    offline = {"cache_dir": tmp_path, "local_files_only": True}
    assert is_native("someone/chat", offline)
    assert is_native("someone/chat", {"cache_dir": tmp_path, "revision": "abc"})
    assert not is_native("someone/chat", {**offline, "revision": "other"})
    assert not is_native("someone/else", offline)


def test_an_adapter_is_what_its_base_is(tmp_path: Path) -> None:
    for name, base in {"chat": CHECKPOINT, "absent": tmp_path / "no", "itself": "itself"}.items():
        folder = tmp_path / name
        folder.mkdir()
        config = {"peft_type": "LORA", "base_model_name_or_path": str(base)}
        (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    assert is_native(tmp_path / "chat", {"revision": "x"})
    assert not is_native(tmp_path / "absent", {})
    assert not is_native(tmp_path / "itself", {"local_files_only": True})


def test_everything_else_is_not(tmp_path: Path) -> None:
    chat = json.loads((CHECKPOINT / "config.json").read_text(encoding="utf-8"))
    llm_config = {**chat["llm_config"], "architectures": ["Qwen2ForCausalLM"]}
    configs = {
        "llama": TINY_LLAMA,
        "vision": chat["vision_config"],
        "qwen": {**chat, "llm_config": llm_config},
        "unnamed": {**chat, "llm_config": {"architectures": "InternLM2ForCausalLM"}},
        "no_decoder": {**chat, "llm_config": None},
        "list": [chat],
        "empty": {},
    }
    for name, config in configs.items():
        assert not is_native(write_config(tmp_path / name, config), {}), name
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "config.json").write_text("{", encoding="utf-8")
    (tmp_path / "file").write_text("", encoding="utf-8")
    for name in ("damaged", "absent", "", "a/b/c", "file"):
        assert not is_native(str(tmp_path / name), {})
    for value in (None, 3, {"model_type": "internvl_chat"}):
        assert not is_native(value, {})


CHECK = """
import internvl_native, sys
{first}
{second}
path, other = {path!r}, {other!r}
config = AutoConfig.from_pretrained(path, trust_remote_code=True)
assert type(config) is internvl_native.InternVLChatConfig
config = AutoConfig.from_pretrained(pretrained_model_name_or_path=other)
assert type(config).__name__ == "LlamaConfig"
tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=True, use_fast=False)
assert type(tokenizer).__module__.startswith("internvl_native"), type(tokenizer)
for auto_class in (AutoModel, AutoModelForCausalLM):
    model = auto_class.from_pretrained(path, torch_dtype="auto", trust_remote_code=True)
    assert type(model) is internvl_native.InternVLChatModel
    real = auto_class.from_config(AutoConfig.from_pretrained(other))
    assert type(real).__module__ == "transformers.models.llama.modeling_llama"
    real.save_pretrained(other)
    assert type(auto_class.from_pretrained(other)) is type(real)
try:
    AutoModel.from_pretrained("no-such-folder/at/all")
except OSError as error:
    assert "internvl_native" not in str(error)
    print("done")
"""
PATCH = "import internvl_native.patch_transformers"
IMPORT = "from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer"


@needs_transformers
@pytest.mark.parametrize("order", [(PATCH, IMPORT), (IMPORT, PATCH)], ids=["before", "after"])
def test_the_checkpoint_decides(order: tuple[str, str], tmp_path: Path) -> None:
    other = write_config(tmp_path / "llama", TINY_LLAMA)
    source = CHECK.format(first=order[0], second=order[1], path=str(CHECKPOINT), other=str(other))
    (tmp_path / "program.py").write_text(source, encoding="utf-8")
    done = execute([sys.executable, "program.py"], tmp_path, {"HF_HUB_OFFLINE": "1"})
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


@needs_transformers
def test_uninstall_restores_the_classes(tmp_path: Path) -> None:
    source = (
        "from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer\n"
        "classes = [AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer]\n"
        "before = [dict(vars(c)) for c in classes]\n"
        "from internvl_native.patch_transformers import uninstall\n"
        "assert before != [dict(vars(c)) for c in classes]\n"
        "uninstall()\n"
        "assert before == [dict(vars(c)) for c in classes]\n"
    )
    (tmp_path / "program.py").write_text(source, encoding="utf-8")
    done = execute([sys.executable, "program.py"], tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(
    not INSTALLED["transformers"] or INSTALLED["torch"],
    reason="needs transformers installed without torch",
)
def test_transformers_without_torch(tmp_path: Path) -> None:
    source = (
        f"{IMPORT}\n"
        "from transformers import StoppingCriteria, TextIteratorStreamer\n"
        f"model = AutoModel.from_pretrained({str(CHECKPOINT)!r})\n"
        f"tokenizer = AutoTokenizer.from_pretrained({str(CHECKPOINT)!r}, trust_remote_code=True)\n"
        "class Never(StoppingCriteria):\n"
        "    def __call__(self, input_ids, scores, **keywords):\n"
        "        return False\n"
        "assert Never() is not None\n"
        "print(len(model.chat(tokenizer, None, 'Hi', dict(max_new_tokens=4))) > 0)\n"
    )
    assert run_source(source, tmp_path).stdout == "True\n"


@needs_transformers
def test_modules_keep_their_loaders(tmp_path: Path) -> None:
    source = (
        "import inspect\n"
        "import transformers.models.auto.modeling_auto as module\n"
        "assert type(module.__loader__).__name__ == 'SourceFileLoader', module.__loader__\n"
        "assert module.__spec__.loader is module.__loader__\n"
        "assert 'AutoModel' in inspect.getsource(module)\n"
        "print(module.AutoModel.from_pretrained.__doc__ is not None)\n"
    )
    assert run_source(source, tmp_path).stdout == "True\n"
