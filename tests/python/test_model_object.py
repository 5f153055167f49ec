"""The model as an object of a program: flags, settings, life time, and life among torch's."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from tests.support.extras import optional
from tests.support.goldens import DATA

from internvl_native import AutoModel, GenerationConfig

CHECKPOINT = DATA / "ckpt_ntk"
PIXELS = np.random.default_rng(0).standard_normal((1, 3, 112, 112), dtype=np.float32)


@pytest.fixture
def model() -> Any:
    model = AutoModel.from_pretrained(CHECKPOINT)
    model.img_context_token_id = 2195
    return model


def test_what_harnesses_read_and_call(model: Any) -> None:
    model.hf_device_map = {"": 0}  # accelerate's dispatch_model, after model.to(0)
    assert model.hf_device_map == {"": model.device}
    assert model.main_input_name == "pixel_values"
    assert model.can_generate()
    for flag in (
        "is_gradient_checkpointing", "supports_gradient_checkpointing", "is_loaded_in_8bit",
        "is_loaded_in_4bit", "is_quantized", "training",
    ):  # fmt: skip
        assert getattr(model, flag) is False
    assert "InternVisionModel" in model._no_split_modules
    assert model.base_model is model.language_model
    assert model.vision_model.base_model is model.vision_model
    assert model.train(False) is model
    for call in (model.tie_weights, model.zero_grad, model.gradient_checkpointing_disable):
        assert call() is None
    assert model.name_or_path == str(CHECKPOINT)
    assert model.config.name_or_path == str(CHECKPOINT)


def test_generation_config_shows_the_file_and_takes_defaults(model: Any) -> None:
    def new_tokens() -> int:
        return int(model.generate(input_ids=[[5, 6, 7]], eos_token_id=-1).shape[1]) - 1

    assert model.generation_config.eos_token_id == [2191, 2192]  # from generation_config.json
    assert new_tokens() == 19  # max_length 20 of the language model's config, with <s>
    model.generation_config.max_new_tokens = 3
    assert new_tokens() == 3
    assert model.generate(input_ids=[[5]], max_new_tokens=2, eos_token_id=-1).shape == (1, 3)
    config = GenerationConfig(max_new_tokens=4, eos_token_id=-1, bos_token_id=1)
    assert model.generate(input_ids=[[5]], generation_config=config).shape == (1, 5)
    model.generation_config = GenerationConfig(max_new_tokens=5)
    assert new_tokens() == 5
    model.generation_config = {"max_new_tokens": 5}
    with pytest.raises(TypeError, match="GenerationConfig, got dict"):
        new_tokens()


def test_generation_config_of_the_language_model(model: Any) -> None:
    """Here the reference, too, takes what is set on it."""
    llm, ids = model.language_model, [[5, 6, 7]]
    assert llm.generation_config.max_length == 20
    llm.generation_config.max_new_tokens = 3
    llm.generation_config.eos_token_id = -1
    assert model.generate(input_ids=ids).shape == (1, 4)
    assert llm.generate(ids).shape == (1, 6)
    assert model.generate(input_ids=ids, max_new_tokens=2).shape == (1, 3)
    model.generation_config.max_new_tokens = 4
    assert model.generate(input_ids=ids).shape == (1, 5)
    llm.generation_config = GenerationConfig(max_new_tokens=1, eos_token_id=-1)
    assert llm.generate(ids).shape == (1, 4)
    config = GenerationConfig(max_length=5, eos_token_id=-1)
    assert llm.generate(ids, generation_config=config).shape == (1, 5)


@pytest.mark.parametrize("options", [{}, {"num_beams": 3, "num_return_sequences": 2}])
def test_transition_scores(model: Any, options: dict[str, Any]) -> None:
    flags = {"return_dict_in_generate": True, "output_scores": True, "eos_token_id": -1}
    output = model.generate(input_ids=[[5, 6, 7]], max_new_tokens=4, **flags, **options)
    indices = output.beam_indices if options else None
    scores = model.compute_transition_scores(
        output.sequences, output.scores, indices, normalize_logits=not options
    )
    assert scores.shape == (len(output.sequences), 4)
    if options:
        np.testing.assert_allclose(scores.sum(axis=1) / 4, output.sequences_scores, rtol=1e-5)
    np.testing.assert_array_equal(
        model.language_model.compute_transition_scores(
            output.sequences, output.scores, indices, normalize_logits=not options
        ),
        scores,
    )


@pytest.mark.parametrize(
    ("name", "other"), [("select_layer", -2), ("downsample_ratio", 0.25), ("ps_version", "v1")]
)
def test_what_the_weights_were_loaded_with_stays(model: Any, name: str, other: Any) -> None:
    loaded = getattr(model.config, name)
    assert getattr(model, name) == loaded
    setattr(model, name, loaded)
    with pytest.raises(ValueError, match=rf"{name}: expected .*from_pretrained\(path, {name}="):
        setattr(model, name, other)
    assert getattr(model, name) == loaded


def test_changes_of_the_config_do_not_change_what_is_loaded(model: Any) -> None:
    """As in the reference, whose modules keep what they were made with."""
    wanted = model.extract_feature(PIXELS)
    model.config.force_image_size = 448
    model.config.select_layer = -2
    model.config.vision_config.image_size = 224
    model.config.vision_config.num_hidden_layers = 1
    np.testing.assert_array_equal(model.extract_feature(PIXELS), wanted)
    assert model.num_image_token == 16
    np.testing.assert_array_equal(model.half().float().extract_feature(PIXELS), wanted)


MEMORY = """
import ctypes, gc, re, sys
import numpy as np
from internvl_native import AutoModel
gc.disable()
folder = sys.argv[1]

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024

def use(model):
    model.vision_model(np.zeros((1, 3, 112, 112), np.float32))
    model.mlp1[0].weight.float()

warm = AutoModel.from_pretrained(folder)
use(warm)
before = resident()
models = [AutoModel.from_pretrained(folder) for _ in range(8)]
for model in models:
    use(model)
loaded = resident()
del model, models
ctypes.CDLL(None).malloc_trim(0)  # else glibc keeps small blocks for itself
print(loaded - before, resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.skipif(
    "libasan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer keeps freed memory"
)
def test_del_frees_the_memory_without_a_collection() -> None:
    folder = DATA / "ckpt_layernorm"  # 8 MB in float32
    command = [sys.executable, "-c", MEMORY, str(folder)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    loaded, left = map(float, output.split())
    assert loaded > 30
    assert left < loaded / 4


def test_among_torch_modules(model: Any) -> None:
    torch = optional("torch", "test-extras")

    class Captioner(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.head = torch.nn.Linear(64, 2)

        def forward(self, pixel_values: Any) -> Any:
            return self.head(self.model.extract_feature(pixel_values).float())

    captioner = Captioner().to("cpu").eval().requires_grad_(False)
    assert list(captioner.state_dict()) == ["head.weight", "head.bias"]
    pixels = torch.from_numpy(PIXELS)
    wanted = captioner(pixels)
    with torch.inference_mode():
        assert torch.equal(captioner(pixels), wanted)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        features = model.extract_feature(pixels)
    assert torch.equal(features, model.extract_feature(pixels))


def test_data_parallel_is_refused(model: Any) -> None:
    with pytest.raises(AttributeError, match=r"leave out torch\.nn\.DataParallel"):
        model._replicate_for_data_parallel()  # what DataParallel calls for every device


def test_processors_and_criteria_of_transformers_see_tensors(model: Any) -> None:
    torch = optional("torch", "test-extras")
    transformers = optional("transformers", "test-extras")
    seen: set[type] = set()

    class Favour(transformers.LogitsProcessor):  # type: ignore[misc, name-defined]
        def __call__(self, input_ids: Any, scores: Any) -> Any:
            seen.update((type(input_ids), type(scores)))
            scores[:, 9] = float("inf")
            return scores

    class ThreeTokens(transformers.StoppingCriteria):  # type: ignore[misc, name-defined]
        def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> bool:
            seen.add(type(input_ids))
            return bool(input_ids.shape[1] > 3)

    tokens = model.generate(
        input_ids=torch.tensor([[5, 6]]),
        max_new_tokens=10,
        logits_processor=transformers.LogitsProcessorList([Favour()]),
        stopping_criteria=transformers.StoppingCriteriaList([ThreeTokens()]),
    )
    assert tokens.tolist() == [[1, 9, 9, 9]]
    assert seen == {torch.Tensor}


def test_repr_tells_what_the_model_is(model: Any) -> None:
    text = repr(model)
    for part in (str(CHECKPOINT), "float32", "cpu/", "internlm2-chat", "num_hidden_layers="):
        assert part in text
