"""GenerationConfig: attributes, files, conversion."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest

from internvl_native.generation import GenerationConfig, generate

from .hash_model import HashModel, model_config


def test_defaults_and_keywords() -> None:
    config = GenerationConfig(num_beams=3, own="x")
    assert (config.num_beams, config.top_k, config.max_length, config.own) == (3, 50, 20, "x")
    with pytest.raises(AttributeError, match="foo"):
        _ = config.foo
    config.top_p = 0.5
    assert config.to_diff_dict() == {"num_beams": 3, "own": "x", "top_p": 0.5}
    assert config == GenerationConfig(num_beams=3, own="x", top_p=0.5)
    assert config != GenerationConfig()
    assert copy.deepcopy(config) == pickle.loads(pickle.dumps(config)) == config
    assert '"num_beams": 3' in repr(config)


def test_update_returns_what_it_does_not_know() -> None:
    config = GenerationConfig()
    assert config.update(top_k=3, foo=1) == {"foo": 1}
    assert config.top_k == 3
    assert not hasattr(config, "foo")


def test_files(tmp_path: Path) -> None:
    GenerationConfig(num_beams=2, eos_token_id=[3, 4]).save_pretrained(tmp_path)
    config = GenerationConfig.from_pretrained(tmp_path, top_k=7)
    assert (config.num_beams, config.eos_token_id, config.top_k) == (2, [3, 4], 7)
    with pytest.raises(OSError, match=r"generation_config\.json"):
        GenerationConfig.from_pretrained(tmp_path / "missing")
    (tmp_path / "generation_config.json").write_text("[1]")
    with pytest.raises(OSError, match="expected a JSON object, got list"):
        GenerationConfig.from_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text("{")
    with pytest.raises(OSError, match="expected valid JSON"):
        GenerationConfig.from_pretrained(tmp_path)


class ForeignConfig:
    """Like the config of transformers: known by its to_dict()."""

    def to_dict(self) -> dict[str, Any]:
        return {"max_length": 4, "bos_token_id": 5, "transformers_version": "4.37.2"}


def test_configs_of_other_libraries() -> None:
    sequences = generate(
        HashModel([3]), {}, model_config=model_config(), generation_config=ForeignConfig()
    )
    assert sequences.shape == (1, 4)
    assert sequences[0, 0] == 5


class ModelConfig:
    vocab_size = 40

    def to_dict(self) -> dict[str, Any]:
        return {**model_config(), "max_length": 7, "hidden_size": 128}


def test_defaults_come_from_the_model_config() -> None:
    config = GenerationConfig.from_model_config(ModelConfig())
    assert (config.bos_token_id, config.max_length) == (1, 7)
    assert not hasattr(config, "hidden_size")
    assert generate(HashModel([3]), {}, model_config=ModelConfig()).shape == (1, 7)


@pytest.mark.parametrize("default", [None, 50], ids=["transformers 5", "transformers 4"])
def test_none_in_a_config_of_transformers(default: int | None) -> None:
    """None is "not set" where the class's own default is None, and else a value."""

    class ForeignConfig:
        def __init__(self, top_k: int | None = default) -> None:
            self.top_k = top_k

        def to_dict(self) -> dict[str, Any]:
            return {"top_k": self.top_k, "max_new_tokens": None, "early_stopping": False}

    config = GenerationConfig.from_any(ForeignConfig(top_k=None))
    assert config.top_k == (50 if default is None else None)
    assert config.max_new_tokens is None
