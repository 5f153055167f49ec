"""Draws the pictures of the demo and writes their questions:
`python -m examples.train_demo.pictures python/internvl_native/demo`."""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from examples.train_demo import drawing

TURNS = [
    # picture, language, question, answer
    ("shapes", "en", "What colour is the star?", "blue"),
    ("shapes", "zh", "绿色的三角形在哪里?", "左下"),
    ("crosses", "en", "How many shapes are there?", "5"),
    ("page", "en", "What is the Room?", "4127"),
    ("page", "en", "What is the City?", "tamako"),
    ("page_zh", "zh", "电话是什么?", "5063"),
    ("page_zh", "zh", "姓名是什么?", "柠檬"),
    ("receipt", "en", "How much is the bread?", "37"),
    ("table", "zh", "牛肉这一行是什么?", "86, 120"),
    ("chart", "en", "Which bar is the highest?", "Mar"),
]


def pictures() -> dict[str, drawing.Canvas]:
    rng = random.Random(2024)
    crosses = [(0, 0), (2, 0), (1, 1), (0, 2), (2, 2)]
    return {
        "shapes": drawing.scene(
            rng, 224,
            [
                ("red", "circle", (0, 0)), ("blue", "star", (1, 0)),
                ("green", "triangle", (0, 1)), ("yellow", "square", (1, 1)),
            ], 2,
        ),
        "circle": drawing.scene(rng, 168, [("orange", "circle", (0, 1))], 2),
        "star": drawing.scene(rng, 168, [("purple", "star", (1, 0))], 2),
        "crosses": drawing.scene(rng, 224, [("purple", "cross", cell) for cell in crosses], 3),
        "page": drawing.page(
            rng, "hotel",
            [
                ("Name", "rabbit"), ("Room", "4127"), ("City", "tamako"), ("Date", "83"),
                ("Level", "bridge"), ("Phone", "9065"),
            ], "en", 18, 424, 320, False,
        ),
        "page_zh": drawing.page(
            rng, "银行",
            [
                ("姓名", "柠檬"), ("城市", "海洋"), ("编号", "318"), ("电话", "5063"),
                ("日期", "74"), ("房间", "老虎"),
            ], "zh", 19, 424, 320, False,
        ),
        "receipt": drawing.page(
            rng, "SHOP",
            [("bread", "37"), ("soup", "8"), ("cake", "52"), ("Total", "97")],
            "en", 20, 224, 224, True,
        ),
        "table": drawing.table(
            rng, ["", "价格", "库存"],
            [["鱼", "45", "7"], ["牛肉", "86", "120"], ["米饭", "9", "33"]], "zh", 18, 224, 224,
        ),
        "chart": drawing.chart(
            rng, ["Jan", "Feb", "Mar", "Apr"], [34, 57, 91, 22], "en", 17, 224, 224
        ),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    for name, canvas in pictures().items():
        canvas.image.save(folder / "pictures" / f"{name}.png", optimize=True)
    keys = ("picture", "language", "question", "answer")
    turns = [{**dict(zip(keys, turn)), "picture": f"{turn[0]}.png"} for turn in TURNS]
    text = json.dumps(turns, indent=1, ensure_ascii=False)
    (folder / "questions.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
