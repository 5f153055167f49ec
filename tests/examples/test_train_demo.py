"""examples/train_demo: it draws, trains, exports and evaluates; what it trains is what runs."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.support.command_line import environment
from tests.support.extras import optional

from internvl_native import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    get_conv_template,
    load_image,
)
from internvl_native.demo import CHECKPOINT_FOLDER

ROOT = Path(__file__).resolve().parents[2]

torch = optional("torch", "train")
optional("safetensors", "train")
optional("matplotlib", "train")
from examples.train_demo import drawing, evaluate, glyphs, tasks, tokenizer  # noqa: E402
from examples.train_demo.data import Encoder  # noqa: E402
from examples.train_demo.export import TOKENIZER, export  # noqa: E402
from examples.train_demo.model import InternVL, Shape  # noqa: E402

pytestmark = pytest.mark.skipif(
    not all(Path("/usr/share/fonts", name).exists() for name in (*drawing.LATIN, *drawing.CJK)),
    reason=f"needs fonts: apt-get install {drawing.PACKAGES}",
)


def run(module: str, *arguments: object) -> str:
    command = [sys.executable, "-m", f"examples.train_demo.{module}", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def every_sample() -> Iterator[tasks.Sample]:
    rng = random.Random(0)
    for task in (*tasks.SCENES, *tasks.TEXT):
        for language in evaluate.LANGUAGES:
            yield task(rng, language, 4)


def test_samples_fit_the_tokenizer() -> None:
    """Every sample becomes ids whose labelled part decodes to its last answer."""
    encode = Encoder(CHECKPOINT_FOLDER, 16)
    shipped = AutoTokenizer.from_pretrained(CHECKPOINT_FOLDER)
    image_token = shipped.convert_tokens_to_ids("<IMG_CONTEXT>")
    for sample in every_sample():
        tiles, ids, labels, weights = encode(sample)
        assert ids.count(image_token) == 16 * len(tiles)
        answers = [i for i, label in zip(ids, labels) if label >= 0]
        assert answers == [label for label in labels if label >= 0]
        decoded = shipped.decode(answers, skip_special_tokens=True)
        expected = "".join(answer for _, answer in sample.turns)
        for token in ("<ref>", "</ref>", "<box>", "</box>"):
            expected = expected.replace(token, "")
        assert decoded.replace(" ", "") == expected.replace(" ", "")
        assert [w > 0 for w in weights] == [label >= 0 for label in labels]
        told = encode(sample, told=True)
        assert told.tiles.shape == (len(tiles), glyphs.ROWS, glyphs.COLUMNS)
        assert (told.ids, told.labels) == (ids, labels)


def test_prompts_are_those_of_chat() -> None:
    """Training sees the ids of the template that the checkpoint's config names."""
    encode = Encoder(CHECKPOINT_FOLDER, 16)
    config = AutoConfig.from_pretrained(CHECKPOINT_FOLDER)
    shipped = AutoTokenizer.from_pretrained(CHECKPOINT_FOLDER)
    for sample in every_sample():
        template = get_conv_template(config.template)
        template.system_message = config.system_message
        for question, answer in sample.turns:
            if not template.messages and "<image>" not in question:
                question = f"<image>\n{question}"
            template.append_message(template.roles[0], question)
            template.append_message(template.roles[1], answer)
        prompt = template.get_prompt()
        for image in sample.images:
            tiles = load_image(image, 112, sample.max_num)
            prompt = prompt.replace("<image>", f"<img>{'<IMG_CONTEXT>' * 16 * len(tiles)}</img>", 1)
        assert encode(sample).ids == shipped(prompt)["input_ids"]


def test_slots_name_what_is_drawn() -> None:
    rng = random.Random(1)
    named = np.stack([glyphs.tile(rng)[1] for _ in range(200)])
    assert named.shape == (200, glyphs.ROWS, glyphs.COLUMNS)
    assert named.max() < glyphs.LABELS
    assert len(np.unique(named)) > 200


def test_slots_tell_every_answer() -> None:
    """What is told of a page holds each character of the value that is asked for."""
    rng = random.Random(2)
    names = {label: character for character, label in glyphs.CHARACTER_LABEL.items()}
    found = []
    for i in range(50):
        sample = tasks.small_text(rng, evaluate.LANGUAGES[i % 2])
        told = glyphs.tile_slots(sample.pictures[0], sample.max_num)
        answer = sample.turns[0][1].replace(" ", "")
        lines = ["".join(names.get(v, "") for v in row) for tile in told for row in tile]
        found.append(any(answer in line for line in lines) or set(answer) <= set("".join(lines)))
    assert np.mean(found) > 0.95


def test_boxes_are_judged_by_their_overlap() -> None:
    assert evaluate.overlap([0, 0, 10, 10], [0, 0, 10, 10]) == 1
    assert evaluate.overlap([0, 0, 10, 10], [0, 5, 10, 15]) == pytest.approx(1 / 3)
    assert evaluate.right("grounding", "red star[[1, 2, 30, 40]]", "<box>[[1, 2, 31, 40]]</box>")
    assert not evaluate.right("grounding", "red star", "<box>[[1, 2, 31, 40]]</box>")


def test_the_model_that_trains_is_the_one_that_runs() -> None:
    """Logits of the torch model and of the engine, on the same weights."""
    from safetensors.torch import load_file

    weights = load_file(CHECKPOINT_FOLDER / "model.safetensors")
    shape = Shape(vocab=len(weights["language_model.output.weight"]))
    student = InternVL(shape)
    student.load_state_dict({name: w.float() for name, w in weights.items()})
    model = AutoModel.from_pretrained(CHECKPOINT_FOLDER, torch_dtype="float32")
    shipped = AutoTokenizer.from_pretrained(CHECKPOINT_FOLDER)
    model.img_context_token_id = shipped.convert_tokens_to_ids("<IMG_CONTEXT>")
    encode = Encoder(CHECKPOINT_FOLDER, shape.tokens_per_tile)
    for sample in every_sample():
        tiles, ids, *_ = encode(sample)
        with torch.no_grad():
            rows = student.image_rows(torch.from_numpy(tiles))
            hidden = student(
                rows, torch.tensor([ids]), torch.arange(len(ids)),
                model.img_context_token_id,
            )  # fmt: skip
            theirs = student.language_model.output(hidden)[0].numpy()
        ours = model(
            pixel_values=tiles,
            input_ids=np.array([ids]),
            image_flags=np.ones((len(tiles), 1), np.int64),
        ).logits[0]
        assert np.abs(ours - theirs).max() < 1e-3 * np.abs(theirs).max()


def test_training_from_nothing(tmp_path: Path) -> None:
    """All stages for a step or so, stopped and resumed, then exported and evaluated."""
    out, checkpoint, results = tmp_path / "out", tmp_path / "checkpoint", tmp_path / "results"
    out.mkdir()
    for name in TOKENIZER:  # training one takes half a minute
        shutil.copy(CHECKPOINT_FOLDER / name, out)
    options = ("--scale", 0.0001, "--eager")
    run("train", out, *options, "--seconds", 0)
    run("train", out, *options)
    run("export", out, checkpoint)
    written = AutoModel.from_pretrained(checkpoint).state_dict()
    shipped = AutoModel.from_pretrained(CHECKPOINT_FOLDER).state_dict()
    assert {n: p.shape for n, p in written.items()} == {n: p.shape for n, p in shipped.items()}
    run("evaluate", checkpoint, "--samples", 1, "--pages", 1, "--out", results)
    table = json.loads((results / "accuracy.json").read_text(encoding="utf-8"))
    assert {"count", "small text"} <= set(table["tasks"])
    assert [row["max_num"] for row in table["reading"]] == list(evaluate.MAX_NUMS)
    assert (results / "max_num.png").stat().st_size > 1000


def test_tokenizer(tmp_path: Path) -> None:
    """A small one has the family's added tokens behind its pieces, and bytes for what it lacks."""
    size = tokenizer.write(tmp_path, tokenizer.train(pieces=700, samples=300))
    trained = AutoTokenizer.from_pretrained(tmp_path)
    assert trained.convert_tokens_to_ids("</box>") == size - 1
    text = "What is the Room? 电话是什么? é"
    assert trained.decode(trained(text)["input_ids"], skip_special_tokens=True) == text


def test_missing_fonts_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match="apt-get install fonts-dejavu-core"):
        drawing.font("truetype/none.ttf", 12)


def test_export_needs_a_trained_state(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        export(tmp_path, tmp_path / "checkpoint")
