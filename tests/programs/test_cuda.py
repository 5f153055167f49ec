"""`.cuda()` under `internvl-native run` on a machine without CUDA."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.programs.running import needs_torch, run_source

pytestmark = needs_torch
WARNING = "CUDA is not available: what the program places there stays on the CPU\n"


@pytest.fixture(autouse=True)
def machine_without_cuda() -> None:
    source = "import sys, torch; sys.exit(torch.cuda.is_available())"
    if subprocess.run([sys.executable, "-c", source], check=False).returncode:
        pytest.skip("this machine has CUDA")


@pytest.mark.parametrize(
    "placed",
    [
        "tensor.cuda()",
        "tensor.cuda(1, non_blocking=True)",
        "tensor.to('cuda')",
        "tensor.to('cuda:1', torch.bfloat16)",
        "tensor.to(0)",
        "tensor.to(torch.device('cuda'), dtype=torch.bfloat16)",
        "tensor.to(device='cuda', dtype=torch.bfloat16)",
        "torch.nn.Linear(2, 2).cuda().weight",
        "torch.nn.Linear(2, 2).to('cuda').weight",
        "torch.nn.Linear(2, 2).to(torch.device('cuda:0')).weight",
    ],
)
def test_placement_stays_on_the_cpu_and_says_so_once(placed: str, tmp_path: Path) -> None:
    source = (
        "import torch\n"
        "tensor = torch.zeros(2)\n"
        f"for _ in range(2):\n    result = {placed}\n"
        f"print(result.device, result.dtype is torch.bfloat16)\n"
    )
    done = run_source(source, tmp_path)
    assert done.stdout == f"cpu {'bfloat16' in placed}\n"
    assert done.stderr == WARNING


@pytest.mark.parametrize(
    "call",
    [
        "tensor.to(torch.float64).dtype is torch.float64",
        "tensor.to(torch.zeros(1, dtype=torch.int64)).dtype is torch.int64",
        "tensor.to('meta').is_meta",
        "tensor.to(dtype=torch.float16, copy=True).dtype is torch.float16",
        "torch.cuda.set_device(0) is None and torch.cuda.synchronize() is None",
        "not torch.cuda.is_available()",
    ],
)
def test_everything_else_is_torchs_own(call: str, tmp_path: Path) -> None:
    done = run_source(f"import torch\ntensor = torch.zeros(2)\nprint({call})\n", tmp_path)
    assert (done.stdout, done.stderr) == ("True\n", "")
