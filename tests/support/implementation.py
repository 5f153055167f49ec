"""One small interface over the two things a case can run on: this package and the reference."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .goldens import DATA


class Implementation(Protocol):
    """Everything the cases need beside the model's own methods, which both sides share."""

    name: str
    tensors: str  # what `return_tensors` asks the tokenizer for: "np" or "pt"

    def load_model(self, checkpoint: Path, torch_dtype: str = "float32", **options: Any) -> Any:
        """The model at `checkpoint`; `options` override entries of its config.json."""

    def load_tokenizer(self, checkpoint: Path) -> Any:
        """A fresh tokenizer."""

    def renew(self, model: Any) -> None:
        """Forget state that a call may have left behind (the reference's rotary tables)."""

    def tensor(self, array: np.ndarray) -> Any:
        """`array` in the form in which the model takes it."""

    def bfloat16(self, array: np.ndarray) -> Any:
        """`array` rounded to bfloat16, in the form in which the model takes it."""

    def array(self, tensor: Any) -> np.ndarray:
        """What the model returned as a numpy array."""

    def taps(self, model: Any, pixel_values: Any, input_ids: Any) -> dict[str, np.ndarray]:
        """The activations that activations.json names, float32."""

    def dynamic_preprocess(self, image: Any, **settings: Any) -> list[Any]: ...

    def build_transform(self, input_size: int) -> Any: ...

    def get_conv_template(self, name: str) -> Any: ...

    def generation_config(self, **settings: Any) -> Any:
        """A `GenerationConfig` object."""

    def text_iterator_streamer(self, tokenizer: Any, **settings: Any) -> Any: ...

    def text_streamer(self, tokenizer: Any) -> Any: ...


class NativeImplementation:
    """internvl_native, given numpy arrays."""

    name = "internvl_native"
    tensors = "np"

    def load_model(self, checkpoint: Path, torch_dtype: str = "float32", **options: Any) -> Any:
        import internvl_native

        if options:
            config = internvl_native.AutoConfig.from_pretrained(checkpoint)
            for key, value in options.items():
                setattr(config, key, value)
            options = {"config": config}
        model = internvl_native.AutoModel.from_pretrained(
            checkpoint, torch_dtype=torch_dtype, **options
        )
        model.prefix_cache.max_bytes = 0  # tests compare calls with each other: all compute
        return model

    def load_tokenizer(self, checkpoint: Path) -> Any:
        import internvl_native

        return internvl_native.AutoTokenizer.from_pretrained(checkpoint)

    def renew(self, model: Any) -> None:
        """Nothing to forget: every call of ours starts fresh."""

    def tensor(self, array: np.ndarray) -> np.ndarray:
        return array

    def bfloat16(self, array: np.ndarray) -> np.ndarray:
        """numpy has no bfloat16: the values rounded to nearest even, kept in float32."""
        bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
        return rounded.astype(np.uint32).view(np.float32)

    def array(self, tensor: Any) -> np.ndarray:
        return np.asarray(tensor)

    def taps(self, model: Any, pixel_values: Any, input_ids: Any) -> dict[str, np.ndarray]:
        with model.taps("*") as taps:
            output = model.generate(
                pixel_values=pixel_values,
                input_ids=input_ids,
                max_new_tokens=1,
                return_dict_in_generate=True,
                output_logits=True,
            )
        return {**taps, "llm.logits_last": output.logits[0]}

    def dynamic_preprocess(self, image: Any, **settings: Any) -> list[Any]:
        import internvl_native

        return list(internvl_native.dynamic_preprocess(image, **settings))

    def build_transform(self, input_size: int) -> Any:
        import internvl_native

        return internvl_native.build_transform(input_size)

    def get_conv_template(self, name: str) -> Any:
        from internvl_native.conversation import get_conv_template

        return get_conv_template(name)

    def generation_config(self, **settings: Any) -> Any:
        import internvl_native

        return internvl_native.GenerationConfig(**settings)

    def text_iterator_streamer(self, tokenizer: Any, **settings: Any) -> Any:
        import internvl_native

        return internvl_native.TextIteratorStreamer(tokenizer, **settings)

    def text_streamer(self, tokenizer: Any) -> Any:
        import internvl_native

        return internvl_native.TextStreamer(tokenizer)


@dataclass
class Models:
    """Loads each model once a session: `models(isa, checkpoint, dtype, **config)`, where "cuda:0"
    counts as an instruction set."""

    impl: Implementation
    loaded: dict[Any, Any] = field(default_factory=dict)

    def __call__(
        self, isa: str, checkpoint: Path, torch_dtype: str = "float32", **config: Any
    ) -> Any:
        key = (isa, checkpoint, torch_dtype, *sorted(config.items()))
        if key not in self.loaded:
            self.loaded[key] = self._load(isa, checkpoint, torch_dtype, **config)
        self.impl.renew(self.loaded[key])
        return self.loaded[key]

    def _load(self, isa: str, checkpoint: Path, torch_dtype: str, **config: Any) -> Any:
        if isa.startswith("cuda"):
            return self.impl.load_model(checkpoint, torch_dtype, **config).to(isa)
        os.environ["INTERNVL_NATIVE_ISA"] = isa
        try:
            return self.impl.load_model(checkpoint, torch_dtype, **config)
        finally:
            del os.environ["INTERNVL_NATIVE_ISA"]


def load_tiles(
    impl: Implementation,
    file: str,
    input_size: int,
    max_num: int = 1,
    min_num: int = 1,
    use_thumbnail: bool = True,
) -> np.ndarray:
    """An image of tests/data/images as float32 (tiles, 3, input_size, input_size)."""
    from PIL import Image

    image = Image.open(DATA / "images" / file).convert("RGB")
    tiles = impl.dynamic_preprocess(
        image,
        min_num=min_num,
        max_num=max_num,
        image_size=input_size,
        use_thumbnail=use_thumbnail,
    )
    transform = impl.build_transform(input_size)
    return np.stack([np.asarray(transform(tile), np.float32) for tile in tiles])
