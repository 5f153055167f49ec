"""examples/ray_batch.py on a local cluster of two nodes, a worker on each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.examples.test_examples import EXAMPLES, IMAGES, SMALL, TILE
from tests.support.extras import optional

from internvl_native import AutoModel, AutoTokenizer, load_image
from internvl_native.demo import CHECKPOINT

cluster_utils = optional("ray.cluster_utils", "ray")
parquet = optional("pyarrow.parquet", "ray")

NAMES = ["frame0.jpg", "gray.jpg", "land.jpg", "port.jpg", "tower.jpg"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20}  # the least that Ray takes
    head = {**node, "include_dashboard": False}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(**node)
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def expected() -> dict[str, str]:
    model = AutoModel.from_pretrained(CHECKPOINT, torch_dtype="bfloat16")
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
    answers = {}
    for name in NAMES:
        pixel_values = load_image(IMAGES / name, TILE, max_num=2, return_tensors="np")
        config = {"max_new_tokens": 6}
        answers[name] = model.chat(tokenizer, pixel_values, "<image>\nWhat?", config)
    return answers


@pytest.mark.parametrize("format", ["json", "parquet"])
def test_folder(cluster: Any, expected: dict[str, str], format: str, tmp_path: Path) -> None:
    folder, output = tmp_path / "images", tmp_path / "answers"
    folder.mkdir()
    for name in NAMES:
        (folder / name).symlink_to(IMAGES / name)
    (folder / "broken.png").write_bytes(b"not an image")
    (folder / "notes.txt").write_text("not an image either", encoding="utf-8")

    options = ("--format", format, "--question", "What?", "--batch-size", 2, *SMALL)
    command = [sys.executable, EXAMPLES / "ray_batch.py", folder, "--output", output, *options]
    done = subprocess.run(
        list(map(str, command)),
        env={**os.environ, "RAY_ADDRESS": cluster.address},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    if format == "json":
        lines = [line for file in output.iterdir() for line in file.read_text().splitlines()]
        rows = [json.loads(line) for line in lines]
    else:
        rows = [row for file in output.iterdir() for row in parquet.read_table(file).to_pylist()]
    results = {Path(row["path"]).name: row for row in rows}
    broken = results.pop("broken.png")
    assert broken["answer"] == ""
    assert "cannot identify image" in broken["error"]
    assert {name: row["answer"] for name, row in results.items()} == expected
    assert {row["error"] for row in results.values()} == {""}
