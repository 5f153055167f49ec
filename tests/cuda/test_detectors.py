"""What the emulation of tests/cuda/simt reports, each by a kernel that does it (sins/)."""

from __future__ import annotations

import re

import numpy as np
import pytest

from .device import ON_DEVICE, Buffer, DeviceError, call, library, vector

pytestmark = pytest.mark.skipif(ON_DEVICE, reason="a device reports nothing of this")

OUT_OF_BOUNDS = {
    "write_past_the_end": r"write of 4 bytes out of bounds: x \+ 256, which has 256 bytes",
    "read_past_the_end": r"read of 4 bytes out of bounds: x \+ 256, which has 256 bytes",
    "read_a_vector_past_the_end": r"read of 16 bytes out of bounds: x \+ 256",
    "copy_past_the_end": r"read of 16 bytes out of bounds: x \+ \d+, which has 256 bytes",
    "read_a_misaligned_vector": "read of 16 bytes misaligned",
    "read_a_misaligned_word": "read of 4 bytes misaligned",
    "read_the_host": "read of 4 bytes out of bounds: no allocation is near",
    "write_past_a_shared_array": "write of 4 bytes (out of bounds: shared array|races with)",
    "carve_beyond_dynamic_memory": "dynamic shared memory beyond the 64 bytes of the launch",
    "carve_overlapping_memory": "dynamic shared memory that overlaps the shared array of (48|32)",
}
UNDEFINED = {
    "read_undefined_shared_memory": "read of 4 bytes of uninitialised memory: shared array",
    "read_an_unfinished_copy": "read of 4 bytes of memory that an unfinished asynchronous copy",
    "wait_for_no_group": "read of 4 bytes of memory that an unfinished asynchronous copy",
    "end_before_a_copy": "the thread ends before its cp.async",
}
RACES = {
    "race_write_then_read": "(read|write) of 4 bytes (races with|of uninitialised memory)",
    "race_read_then_write": "(read|write) of 4 bytes races with",
    "race_of_two_writes": "write of 4 bytes races with a write: shared array",
    "race_after_a_warp_barrier": "(read|write) of 4 bytes (races with|of uninitialised memory)",
    "race_in_global_memory": "write of 4 bytes races with a write: x",
    "race_with_an_atomic": "read of 4 bytes races with a write|atomic of 4 bytes races with a read",
    "read_the_copy_of_another_thread": "races with a write|unfinished asynchronous copy|"
    "uninitialised memory",
}
WAITS = {
    "barrier_without_all": r"divergent barrier: thread \d+ ended, others wait at .*sins.cpp:\d+",
    "two_barriers_at_once": r"divergent barrier: thread \d+ waits at .*:\d+, thread \d+ at .*:\d+",
    "shuffle_with_an_ended_lane": "shuffle: lane 5 of the mask is not active"
    "|shuffle at .* waits for lanes that do not come",
    "shuffle_from_outside_the_mask": "shuffle from lane 20, which takes no part",
    "shuffle_without_itself": "shuffle: the lane is not in its own mask",
    "shuffle_beside_a_barrier": "shuffle at .* waits for lanes that do not come",
    "shuffle_beside_a_vote": "lane .* is in (vote|shuffle) at",
}
SINS = {**OUT_OF_BOUNDS, **UNDEFINED, **RACES, **WAITS}


def run(name: str, seed: int, blocks: int = 1) -> None:
    library().device_seed(seed)
    call("run_sin", name.encode(), vector(np.ones(64, np.float32), "x"), blocks)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", SINS)
def test_sin_is_reported_in_every_order_of_threads(name: str, seed: int) -> None:
    with pytest.raises(DeviceError) as error:
        run(name, seed)
    assert re.search(SINS[name], str(error.value)), error.value


@pytest.mark.parametrize("seed", range(5))
def test_race_between_blocks(seed: int) -> None:
    with pytest.raises(DeviceError, match="4 bytes races with a"):
        run("race_of_blocks", seed, blocks=2)


def test_read_of_undefined_global_memory() -> None:
    x = vector(np.ones(64, np.float32), "x")
    with pytest.raises(DeviceError, match="read of 4 bytes of uninitialised memory: undefined"):
        call("run_undefined", x, Buffer("undefined", 256))


def test_a_report_names_the_line() -> None:
    with pytest.raises(DeviceError, match=r"thread 63 at .*sins\.cpp:\d+, block \(0, 0, 0\)"):
        run("write_past_the_end", 0)


@pytest.mark.parametrize("seed", range(5))
def test_innocent_kernel(seed: int) -> None:
    run("innocent", seed)
    run("innocent", seed)
