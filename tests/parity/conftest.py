"""What the parity tests run on: this package on each instruction set, or the reference itself.

`--implementation reference` (see tests/reference/README.md) shows that the tests ask for nothing
that the reference does not do.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.implementation import Implementation, Models, NativeImplementation


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--implementation", choices=("native", "reference"), default="native")


def _is_native(config: pytest.Config) -> bool:
    return bool(config.getoption("implementation", "native") == "native")


def _isas(config: pytest.Config) -> list[str]:
    """Instruction sets, the fastest last; the reference has one of its own."""
    if not _is_native(config):
        return ["torch"]
    from internvl_native import _core

    return list(_core.cpu_isas())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`isa` ranges over all instruction sets, `other_isa` over all but the fastest."""
    isas = _isas(metafunc.config)
    for name, values in (("isa", isas), ("other_isa", isas[:-1])):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, values)


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
def fastest_isa(request: pytest.FixtureRequest) -> str:
    return _isas(request.config)[-1]


@pytest.fixture
def native(request: pytest.FixtureRequest) -> None:
    """For what only this package does."""
    if not _is_native(request.config):
        pytest.skip("the reference does otherwise")
