"""What the parity tests run on: this package on each instruction set and, with `-m cuda` or where
there is one, on a GPU, which counts as one more; or the reference itself.

`--implementation reference` (see tests/reference/README.md) shows that the tests ask for nothing
that the reference does not do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.implementation import Implementation, Models, NativeImplementation


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--implementation", choices=("native", "reference"), default="native")


def _is_native(config: pytest.Config) -> bool:
    return bool(config.getoption("implementation", "native") == "native")


def _isas(config: pytest.Config) -> list[str]:
    """Instruction sets of the CPU, the fastest last; the reference has one of its own."""
    if not _is_native(config):
        return ["torch"]
    from internvl_native import _core

    return list(_core.cpu_isas())


def _gpus(config: pytest.Config) -> list[Any]:
    """The GPU as a parameter. Hundreds of tests: where they could only be skipped they are left
    out, unless they are what is asked for."""
    if not _is_native(config):
        return []
    from internvl_native import devices

    missing = devices.missing()
    if missing is not None and config.getoption("markexpr") != "cuda":
        return []
    skip = pytest.mark.skipif(missing is not None, reason=missing or "")
    return [pytest.param("cuda:0", marks=[pytest.mark.cuda, skip])]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`isa` ranges over all, `best_isa` over the fastest of the CPU and the GPU, `other_isa` over
    the CPU's others."""
    isas, gpus = _isas(metafunc.config), _gpus(metafunc.config)
    ranges = {"isa": [*isas, *gpus], "best_isa": [isas[-1], *gpus], "other_isa": isas[:-1]}
    for name in ranges.keys() & set(metafunc.fixturenames):
        metafunc.parametrize(name, ranges[name])


@pytest.fixture(scope="session")
def impl(request: pytest.FixtureRequest) -> Implementation:
    if _is_native(request.config):
        return NativeImplementation()
    from tests.reference.torch_reference import TorchReference

    return TorchReference()


@pytest.fixture(scope="session")
def models(impl: Implementation) -> Iterator[Models]:
    cache = Models(impl)
    yield cache
    cache.loaded.clear()


@pytest.fixture(scope="session")
def exact_isa(request: pytest.FixtureRequest) -> str:
    """Whose float32 results stand for exact ones."""
    return _isas(request.config)[-1]


@pytest.fixture
def native(request: pytest.FixtureRequest) -> None:
    """For what only this package does."""
    if not _is_native(request.config):
        pytest.skip("the reference does otherwise")
