"""benchmarks/cuda_resources.py reads what ptxas prints."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LOG = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_ZN8internvl4cuda11gemv_kernelINS_8BFloat16ELi1EEEvi' \
for 'sm_80'
ptxas info    : Function properties for _ZN8internvl4cuda11gemv_kernelINS_8BFloat16ELi1EEEvi
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 54 registers, used 1 barriers, 32 bytes smem, 448 bytes cmem[0]
ptxas info    : Compiling entry function '_ZN8internvl4cuda11gemv_kernelINS_8BFloat16ELi1EEEvi' \
for 'sm_90a'
ptxas info    : Function properties for _ZN8internvl4cuda11gemv_kernelINS_8BFloat16ELi1EEEvi
    {stack} bytes stack frame, {stack} bytes spill stores, 12 bytes spill loads
ptxas info    : Used 168 registers, used 0 barriers, 620 bytes cmem[0]
"""


@pytest.mark.skipif(shutil.which("c++filt") is None, reason="needs c++filt of binutils")
def test_spills_are_listed_and_fail(tmp_path: Path) -> None:
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "gemv.cu.o.log").write_text(LOG.replace("{stack}", "8"))
    command = [sys.executable, "-m", "benchmarks.cuda_resources", str(tmp_path)]
    done = subprocess.run(
        [*command, "--output", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")
    report = (tmp_path / "cuda_resources.md").read_text()
    assert report == done.stdout
    assert "Spills: 1" in report
    assert "- `gemv_kernel<BFloat16, 1>` on sm_90a: 8 bytes stored, 12 loaded\n" in report
    assert "| `gemv_kernel<BFloat16, 1>` | 54 | 168 | 32 |\n" in report


def test_a_folder_without_logs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cuda_resources", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "expected logs of ptxas (*.cu.o.log), found none" in done.stderr
