"""A small model on every instruction set and in both dtypes, for tests of the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.goldens import DATA
from tests.support.implementation import Models, NativeImplementation

import internvl_native
from internvl_native import _core

CHECKPOINT = DATA / "ckpt_rmsnorm"


@pytest.fixture(scope="session")
def models() -> Iterator[Models]:
    cache = Models(NativeImplementation())
    yield cache
    cache.loaded.clear()


@pytest.fixture(params=_core.cpu_isas())
def isa(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["float32", "bfloat16"])
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(models: Models, isa: str, dtype: str) -> Any:
    """One for every instruction set and dtype."""
    model = models(isa, CHECKPOINT, dtype)
    model.img_context_token_id = tokenizer_of(model).convert_tokens_to_ids("<IMG_CONTEXT>")
    return model


@pytest.fixture
def fast_model(models: Models) -> Any:
    """float32 on the fastest instruction set, for what does not depend on either."""
    return models(_core.cpu_isas()[-1], CHECKPOINT)


@pytest.fixture
def tokenizer() -> Any:
    return internvl_native.AutoTokenizer.from_pretrained(CHECKPOINT)


def tokenizer_of(model: Any) -> Any:
    return internvl_native.AutoTokenizer.from_pretrained(model.name_or_path)


@pytest.fixture
def restore_threads() -> Iterator[None]:
    before = internvl_native.num_threads()
    yield
    internvl_native.set_num_threads(before)
