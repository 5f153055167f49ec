"""The InternVL repository's own evaluation scripts, on small data sets laid out as they expect."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, Callable, NamedTuple

from tests.programs.cases import IMAGES
from tests.support.goldens import DATA

CHECKPOINT = DATA / "ckpt_rmsnorm"
QUESTIONS = {"land.jpg": "What is in the foreground?", "palette.png": "What colour is the sky?"}
ONE_WORD = "Answer the question using a single word or phrase."


class RepositoryProgram(NamedTuple):
    """A script of internvl_chat/eval, unedited."""

    script: str
    lay_out: Callable[[Path], None]
    """Writes the data set into the folder that the script runs in."""
    options: tuple[str, ...] = ("--dynamic", "--max-num", "3")

    def command(self, repository: Path) -> list[str]:
        script = str(repository / "internvl_chat" / "eval" / self.script)
        return [script, "--checkpoint", str(CHECKPOINT), *self.options]


def _lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _document(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def _link_images(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(IMAGES)


def _caption(folder: Path) -> None:
    _link_images(folder / "data" / "flickr30k" / "images")
    images = [{"id": i, "image": f"images/{name}"} for i, name in enumerate(QUESTIONS)]
    annotations = [{"id": i, "image_id": i, "caption": "A picture."} for i in range(len(images))]
    path = folder / "data" / "flickr30k" / "flickr30k_test_karpathy.json"
    _document(path, {"images": images, "annotations": annotations, "type": "captions", "info": {}})


def _vqa(folder: Path) -> None:
    rows = [
        {"image": str(IMAGES / name), "question": question, "question_id": i, "answer": "3"}
        for i, (name, question) in enumerate(QUESTIONS.items())
    ]
    _lines(folder / "data" / "chartqa" / "test_human.jsonl", rows)


def _pope(folder: Path) -> None:
    _link_images(folder / "data" / "pope" / "val2014")
    rows = [
        {"image": name, "text": f"{question}\n{ONE_WORD}", "question_id": i}
        for i, (name, question) in enumerate(QUESTIONS.items())
    ]
    _lines(folder / "data" / "pope" / "llava_pope_test.jsonl", rows)


def _mmvet(folder: Path) -> None:
    _link_images(folder / "data" / "mm-vet" / "images")
    rows = [
        {"image": name, "text": question, "question_id": i}
        for i, (name, question) in enumerate(QUESTIONS.items())
    ]
    _lines(folder / "data" / "mm-vet" / "llava-mm-vet.jsonl", rows)


def _refcoco(folder: Path) -> None:
    rows = [
        {"image": str(IMAGES / name), "sent": question, "bbox": [1, 2, 30, 40], "width": 64,
         "height": 48}
        for name, question in QUESTIONS.items()
    ]  # fmt: skip
    _lines(folder / "data" / "refcoco" / "refcoco_val.jsonl", rows)


def _mvbench(folder: Path) -> None:
    data = folder / "data" / "MVBench"
    frames = data / "video" / "tvqa" / "frames_fps3_hq" / "clip"
    frames.mkdir(parents=True)
    for i in range(12):
        shutil.copy(IMAGES / f"frame{i % 4}.jpg", frames / f"{i + 1:05d}.jpg")
    for name in _mvbench_files():
        _document(data / "json" / name, [])
    question = {"question": "Why?", "candidates": ["so", "or so"], "answer": "so"}
    clip = {"video": "clip", "start": 0, "end": 3}
    _document(data / "json" / "episodic_reasoning.json", [{**question, **clip}])


def _mvbench_files() -> list[str]:
    """The names that the script's table of tasks has."""
    script = repository() / "internvl_chat" / "eval" / "mvbench" / "evaluate_mvbench.py"
    return re.findall(r"'(\w+\.json)'", script.read_text(encoding="utf-8"))


def _mme(folder: Path) -> None:
    """The script finds its data two folders above the one it runs in."""
    benchmark = folder / "data" / "mme" / "MME_Benchmark_release_version"
    _link_images(benchmark / "scene")
    rows = [f"{name}\t{question}\tYes\n" for name, question in QUESTIONS.items()]
    results = working_folder(folder, "mme/eval.py") / "Your_Results"
    results.mkdir(parents=True)
    (results / "scene.txt").write_text("".join(rows), encoding="utf-8")


def working_folder(folder: Path, script: str) -> Path:
    """Where evaluate.sh starts the script, in a copy of the repository's layout."""
    return folder / "eval" / "mme" if script.startswith("mme/") else folder


def repository() -> Path:
    """The checkout that INTERNVL_REPOSITORY names; KeyError without it."""
    return Path(os.environ["INTERNVL_REPOSITORY"])


def results(folder: Path) -> list[Any]:
    """What the script wrote, with the checkpoint by name: JSON files of `results`, mme tables."""
    found: list[Any] = [
        json.loads(path.read_text(encoding="utf-8").replace(str(CHECKPOINT), CHECKPOINT.name))
        for path in sorted((folder / "results").rglob("*.json"))
    ]
    tables = sorted((folder / "eval" / "mme" / CHECKPOINT.name).glob("*.txt"))
    return found + [path.read_text(encoding="utf-8") for path in tables]


REPOSITORY_PROGRAMS = {
    "repository: caption": RepositoryProgram(
        "caption/evaluate_caption.py",
        _caption,
        ("--datasets", "flickr30k", "--num-beams", "3"),
    ),
    "repository: vqa": RepositoryProgram(
        "vqa/evaluate_vqa.py",
        _vqa,
        ("--datasets", "chartqa_test_human", "--dynamic", "--num-workers", "2"),
    ),
    "repository: mme": RepositoryProgram("mme/eval.py", _mme),
    "repository: pope": RepositoryProgram("pope/evaluate_pope.py", _pope),
    "repository: mmvet": RepositoryProgram("mmvet/evaluate_mmvet.py", _mmvet),
    "repository: refcoco": RepositoryProgram(
        "refcoco/evaluate_grounding.py", _refcoco, ("--datasets", "refcoco_val", "--dynamic")
    ),
    "repository: mvbench": RepositoryProgram(
        "mvbench/evaluate_mvbench.py", _mvbench, ("--num_segments", "4")
    ),
}
