"""Arguments: a call with everything right but one or two values, to the core and to the package.

An input only seeds the choice. Sizes stay small enough that no call may take long. The two configs
that the core gets from Python's checks are not varied here, but before those checks: in
package_calls and checkpoint_json.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image
from tests.checkpoint.synthetic import chat_config, chat_shapes, values_of, write_safetensors
from tests.fuzz.mutation import PIECES, VALUES, mutate_value
from tests.fuzz.target import Target
from tests.support.goldens import DATA

import internvl_native
from internvl_native import AutoConfig, AutoModel, AutoTokenizer, _core
from internvl_native.checkpoint import open_checkpoint, weight_map
from internvl_native.core_config import core_config

# Generation ends soon even if "max_new_tokens" is what gets lost.
BOUNDS = {"max_new_tokens": 2, "max_length": 40, "max_time": 1.0}
Call = tuple[Callable[..., Any], dict[str, Any]]
DTYPES = ["u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "c8", "?", "O", "S3", ">f4", "M8[s]"]
LARGEST = 2**11
"""Of the numbers tried that ask for memory or time; from 2**31 on they have to be refused."""


def odd_array(chance: Random) -> np.ndarray:
    shape = [chance.choice([0, 1, 2, 3, 4, 7]) for _ in range(chance.choice([0, 1, 2, 3, 4, 5]))]
    dtype = chance.choice(DTYPES)
    generator = np.random.default_rng(chance.randrange(2**32))
    array = generator.integers(-3, 300, shape).astype("i8").astype(dtype)
    action = chance.random()
    if array.dtype.kind == "f" and array.size and action < 0.2:
        array.flat[chance.randrange(array.size)] = chance.choice([np.nan, np.inf, -np.inf, 1e30])
    if action > 0.7 and array.ndim:
        array = array.T if action > 0.85 else array[::-1]
    if 0.6 < action < 0.7:
        array = np.broadcast_to(array.reshape(-1)[:1], (chance.choice([1, 9]),) * 3)
    return array


def odd(value: Any, chance: Random) -> Any:
    """Something else in the place of `value`, often of its kind."""
    action = chance.random()
    if isinstance(value, np.ndarray) and action < 0.6:
        if action < 0.2:
            return value.astype(chance.choice(DTYPES[:10]))
        if action < 0.4 and value.ndim:
            return np.take(value, [0] * chance.choice([0, 1, 2, 5]), chance.randrange(value.ndim))
        if action < 0.5:
            return value[..., None] if action < 0.45 else value[..., :1]
        return value[::-1]
    if isinstance(value, (dict, list)) and action < 0.7:
        return mutate_value(value, chance)
    if isinstance(value, tuple) and action < 0.7:
        return tuple(mutate_value(list(value), chance) or ())
    if isinstance(value, bool):
        return not value
    if isinstance(value, int) and action < 0.7:
        return value + chance.choice([-9, -2, -1, 1, 2, 9])
    if isinstance(value, str) and action < 0.6:
        return value + chance.choice(PIECES)
    if action < 0.8:
        return odd_array(chance)
    return chance.choice([*VALUES, object(), b"", b"\xff\xd8", np.float32(1), range(3), {1, 2}])


def too_large(value: Any) -> bool:
    """Whether a value is, or holds, a number that would rightly take all memory or time."""
    if isinstance(value, dict):
        return any(map(too_large, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(too_large, value))
    return type(value) in (int, float) and LARGEST < value < 2**31


@functools.lru_cache(1)
def tiny(folder: Path) -> tuple[dict[str, Any], dict[str, Any], list[_core.InternVL]]:
    """A checkpoint of a few kilobytes: its core config, its weights, and engines with them."""
    (folder / "config.json").write_text(json.dumps(chat_config()))
    write_safetensors(folder / "model.safetensors", values_of(chat_shapes()))
    config = AutoConfig.from_pretrained(folder)
    weights = dict(weight_map(config, open_checkpoint(folder)))
    core = core_config(config)
    engines = [_core.InternVL(core, weights, name) for name in ("float32", "bfloat16", "float16")]
    vision = {name: weight for name, weight in weights.items() if name.startswith("vision.")}
    return core, weights, [*engines, _core.InternVL({"vision": core["vision"]}, vision, "float32")]


@functools.lru_cache(1)
def golden() -> tuple[Any, Any]:
    return (
        AutoModel.from_pretrained(DATA / "ckpt_ntk"),
        AutoTokenizer.from_pretrained(DATA / "ckpt_ntk"),
    )


def cache_of(engine: _core.InternVL) -> _core.BatchCache:
    """Keys and values of a prompt of two tokens."""
    ids = np.array([[1, 2]], np.int32)
    none = np.zeros((0, 16), np.float32)
    mask = np.ones((1, 2), np.uint8)
    positions = np.arange(2, dtype=np.int32)[None]
    session = _core.ChatSession(engine, ids, ids * 0 - 1, none, mask, positions)
    session.prefill()
    return session.cache()


def core_calls(folder: Path, chance: Random) -> list[Call]:
    config, weights, engines = tiny(folder)
    engine = chance.choice(engines[:3])
    pixels = np.zeros((5, 7, 3), np.uint8)
    jpeg = (DATA / "images" / "frame0.jpg").read_bytes()
    size = Image.open(DATA / "images" / "frame0.jpg").size
    grid = _core.TileGrid(2, 1, 4, True)
    norm = _core.Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    file = _core.MappedFile(folder / "model.safetensors")
    tiles = np.zeros((2, 3, 4, 4), np.float32)
    ids = np.array([[1, 2, 3, 3]], np.int32)
    session = {
        "input_ids": ids,
        "embedding_rows": np.array([[-1, -1, 0, 1]], np.int32),
        "embeddings": np.zeros((2, 16), np.float32),
        "attention_mask": np.ones((1, 4), np.uint8),
        "position_ids": np.arange(4, dtype=np.int32)[None],
        "past": chance.choice([None, cache_of(engine)]),
        "recorders": [_core.Activations({"llm.norm"})],
    }

    def generate(**arguments: Any) -> None:
        started = _core.ChatSession(engine, **arguments)
        started.prefill()
        started.step(np.array([1], np.int32))

    def forward(hidden_states: bool, rows: list[int], **arguments: Any) -> None:
        started = _core.ChatSession(engine, **arguments)
        started.forward(hidden_states)
        started.cache().select(rows)

    return [
        (_core.TileGrid, {"columns": 1, "rows": 2, "tile_size": 4, "thumbnail": True}),
        (_core.Normalization, {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}),
        (_core.decode_jpeg, {"data": jpeg, "size": size}),
        (_core.resize_bicubic, {"pixels": pixels, "size": (3, 9)}),
        (_core.cut_tiles, {"pixels": pixels, "grid": grid}),
        (_core.cut_pixel_values, {"pixels": pixels, "grid": grid, "normalization": norm}),
        (_core.cut_jpeg_pixel_values,
         {"data": jpeg, "size": size, "grid": grid, "normalization": norm}),
        (_core.MappedFile, {"path": file.path}),
        (file.read, {"offset": 1, "bytes": 2}),
        (file.release, {"offset": 1, "bytes": 2}),
        (functools.partial(_core.InternVL, config), {"weights": weights, "dtype": "float32"}),
        (engine.extract_feature, {"pixel_values": tiles, "dtype": "float32"}),
        (engine.vision_forward, {"pixel_values": tiles, "dtype": "float32", "layers": 1}),
        (engines[3].vision_forward, {"pixel_values": tiles, "dtype": "float32", "layers": 0}),
        (engine.vision_encode, {"pixel_embeds": np.zeros((2, 5, 8), np.float32)}),
        (engine.project, {"shuffled": np.zeros((2, 32), np.float32)}),
        (engine.embed, {"ids": [1, 2, 9]}),
        (engine.output, {"hidden": np.zeros((3, 16), np.float32)}),
        (generate, session),
        (forward, {**session, "hidden_states": True, "rows": [0, 0]}),
        (_core.set_num_threads, {"count": 2}),
    ]  # fmt: skip


def package_calls(folder: Path, chance: Random) -> list[Call]:
    model, tokenizer = golden()
    image = Image.new("RGB", (60, 30))
    pixels = np.zeros((2, 3, 112, 112), np.float32)
    options = {
        "max_new_tokens": 2, "do_sample": True, "temperature": 0.7, "top_k": 5, "top_p": 0.9,
        "num_beams": 2, "repetition_penalty": 1.1, "num_return_sequences": 1, "seed": 1,
        "eos_token_id": 2, "pad_token_id": 2, "no_repeat_ngram_size": 3, "bad_words_ids": [[5]],
    }  # fmt: skip
    config = {**dict(chance.sample(sorted(options.items()), 4)), **BOUNDS}
    if chance.random() < 0.3:
        config[chance.choice(sorted(internvl_native.GenerationConfig().to_dict()))] = odd(1, chance)
    image_token = tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")
    ids = np.array([[1, 5, 6, *[image_token] * 32]])
    chat = {"tokenizer": tokenizer, "pixel_values": pixels, "generation_config": config}

    return [
        (internvl_native.load_image,
         {"image_file": image, "input_size": 28, "max_num": 4, "min_num": 1,
          "use_thumbnail": True, "return_tensors": "np"}),
        (internvl_native.dynamic_preprocess,
         {"image": image, "min_num": 1, "max_num": 4, "image_size": 28, "use_thumbnail": True}),
        (model.chat,
         {**chat, "question": "<image> <image> Hi", "history": [("a", "b")],
          "num_patches_list": [1, 1], "return_history": True,
          "IMG_CONTEXT_TOKEN": "<IMG_CONTEXT>"}),
        (model.batch_chat,
         {**chat, "questions": ["<image>\nHi", "<image>\nyou"], "num_patches_list": [1, 1],
          "history": None, "return_history": False}),
        (functools.partial(model.generate, max_new_tokens=2),
         {"pixel_values": pixels, "input_ids": ids, "attention_mask": np.ones_like(ids),
          "visual_features": None}),
        (model.extract_feature, {"pixel_values": pixels}),
        (tokenizer, {"text": "Hi", "padding": True, "truncation": True, "max_length": 9,
                     "add_special_tokens": True, "return_tensors": "np"}),
        (tokenizer.decode, {"token_ids": [1, 5, 9], "skip_special_tokens": True}),
        (tokenizer.batch_decode, {"sequences": [[1, 5], [9]], "skip_special_tokens": True}),
        (tokenizer.convert_ids_to_tokens, {"ids": [1, 5]}),
        (tokenizer.convert_tokens_to_ids, {"tokens": ["a", "</s>"]}),
        (tokenizer.apply_chat_template, {"conversation": [{"role": "user", "content": "Hi"}]}),
    ]  # fmt: skip


def run(calls: Callable[[Path, Random], list[Call]], data: bytes, folder: Path) -> None:
    """One call with odd arguments; no data is for all of them as they should be."""
    chance = Random(data)
    if not data:
        for function, arguments in calls(folder, chance):
            function(**arguments)
        return
    function, arguments = chance.choice(calls(folder, chance))
    for name in chance.sample(sorted(arguments), min(len(arguments), chance.choice([1, 1, 2]))):
        arguments = {**arguments, name: odd(arguments[name], chance)}
    if too_large(arguments):
        return
    try:
        function(**arguments)
    except (AttributeError, TypeError) as error:
        from_binding = "incompatible function arguments" in str(error)
        if isinstance(error, AttributeError) or (from_binding and calls is package_calls):
            raise RuntimeError(f"{function}: {arguments!r:.2000}") from error
        raise


def new_seed(data: bytes, chance: Random) -> bytes:
    return b"%d" % chance.getrandbits(64)


TARGETS = [
    Target("core_calls", lambda: [b""], new_seed, functools.partial(run, core_calls)),
    Target("package_calls", lambda: [b""], new_seed, functools.partial(run, package_calls)),
]
