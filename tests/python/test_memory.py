"""What forty tiles cost above the weights; the reference takes 2.1 GB, and 3.7 GB in chat."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.support.goldens import DATA
from tests.support.sanitizer import SANITIZED

CHECKPOINT = DATA / "ckpt_layernorm"
LIMIT_MB = 600
TILES = 40

# VmHWM is the process's peak; writing 5 to clear_refs starts it anew from what is resident now.
CODE = """
import re, sys
import numpy as np
from internvl_native import AutoModel, AutoTokenizer

def status(key):
    text = open("/proc/self/status").read()
    return int(re.search(key + r":\\s+(\\d+) kB", text).group(1)) / 1024

checkpoint, dtype, call, tiles = sys.argv[1:4] + [int(sys.argv[4])]
model = AutoModel.from_pretrained(checkpoint, torch_dtype=dtype)
tokenizer = AutoTokenizer.from_pretrained(checkpoint)
generator = np.random.default_rng(0)
pixels = generator.standard_normal((tiles, 3, 448, 448), dtype=np.float32)
before = status("VmRSS")
open("/proc/self/clear_refs", "w").write("5")
if call == "chat":
    model.chat(tokenizer, pixels, "Describe the picture.", dict(max_new_tokens=2))
else:
    model.extract_feature(pixels)
print(status("VmHWM") - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.skipif(SANITIZED, reason="the sanitizer keeps freed memory")
@pytest.mark.parametrize("call", ["extract_feature", "chat"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_forty_tiles(dtype: str, call: str) -> None:
    output = subprocess.run(
        [sys.executable, "-c", CODE, str(CHECKPOINT), dtype, call, str(TILES)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert float(output) < LIMIT_MB
