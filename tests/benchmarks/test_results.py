"""What is made of measurements: medians, fractions, ratios, tables and README's."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import readme, stages, table
from benchmarks.machine import machine
from benchmarks.peers import ENGINES, NATIVE
from benchmarks.results import Record, Results
from benchmarks.work import Phase

PEAK, STREAM = 100e9, 10e9


def record(engine: str, seconds: list[float], phases: list[Phase], stage: str = "vit-1") -> Record:
    count = len(seconds) if phases else 0
    samples = [{"seconds": value} for value in seconds]
    return Record(
        stage, engine, "bfloat16", 2, phases, samples, [PEAK] * count, [STREAM] * count
    )  # fmt: skip


@pytest.fixture
def results() -> Results:
    compute = [Phase(100e9, 1e9)]  # a second of arithmetic, a tenth of reading
    return Results(
        machine(), "2b", ["python -m benchmarks"], {NATIVE: "ours 1.0"}, {"openvino": "no module"},
        {"reference, chat-7": "out of memory"},
        [
            record(NATIVE, [1.25, 1.0, 2.0], compute),
            record("transformers", [2.5, 4.0, 2.0], compute),
            record(NATIVE, [0.002], [Phase(1e6, 10e6)], "decode-320"),
            record(NATIVE, [0.01], [], "jpeg-2mp"),
        ],
        ["2026-01-31"],
    )  # fmt: skip


def test_fraction_is_the_floor_over_the_time(results: Results) -> None:
    assert results.records[0].seconds == 1.25
    assert results.records[0].fraction(PEAK) == pytest.approx(0.8)
    assert results.records[2].fraction(PEAK) == pytest.approx(0.5)
    assert results.records[3].fraction(PEAK) is None


def test_fraction_of_several_phases_adds_their_floors() -> None:
    phases = [Phase(100e9, 1e9), Phase(1e9, 10e9)]  # a second each: arithmetic, then reading
    assert record(NATIVE, [4.0], phases).fraction(PEAK) == pytest.approx(0.5)


def test_the_peak_is_the_most_that_was_reached(results: Results) -> None:
    results.records[1].peaks[2] = 2 * PEAK
    assert results.peak("bfloat16", 2) == 2 * PEAK
    assert results.peak("bfloat16", 1) == 0


def test_fraction_follows_the_bandwidth_beside_each_run() -> None:
    moving = Record(
        "decode-320", NATIVE, "bfloat16", 1, [Phase(0, 10e9)],
        [{"seconds": 1.0}, {"seconds": 2.0}, {"seconds": 2.0}], [PEAK] * 3, [10e9, 5e9, 5e9],
    )  # fmt: skip
    assert moving.fraction(PEAK) == pytest.approx(1.0)


def test_ratio_is_the_median_of_the_rounds(results: Results) -> None:
    own, peer = results.records[:2]
    assert own.times(peer) == pytest.approx(2.0)  # of 2, 4 and 1


def test_table(results: Results) -> None:
    lines = table.table(results, "bfloat16", 2).splitlines()
    assert lines[0] == "| stage | internvl-native | reached | of the floor | transformers |"
    assert lines[2] == "| JPEG to RGB, 1920 x 1080 | 10.0 ms |  |  |  |"
    assert lines[3] == "| `extract_feature`, 1 tile | 1.25 s | 80 GFLOP/s | 80% | 2.50 s (2 x) |"
    assert lines[4] == "| decoding behind 320 tokens | 2.00 ms | 5.0 GB/s | 50% |  |"


def test_document_names_the_absent_and_the_failed(results: Results) -> None:
    text = table.document(results)
    assert "- absent: openvino (no module)" in text
    assert "- failed: reference, chat-7 (out of memory)" in text
    assert "- internvl-native: ours 1.0" in text
    assert "Measured by `python -m benchmarks` on 2026-01-31." in text
    assert "100 GFLOP/s" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (12.34, "12.3 s"),
        (1, "1.00 s"),
        (0.0801, "80.1 ms"),
        (123.4, "123 s"),
        (1.2e-5, "0.0120 ms"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert table.duration(seconds) == text


def test_json_gives_back_what_was_saved(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    results.save(path)
    assert Results.load(path) == results
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_results_of_another_format_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text('{"format": 0}')
    with pytest.raises(ValueError, match=r"results\.json: expected results in format 1"):
        Results.load(path)


def test_replacing_leaves_other_engines_and_passes(results: Results) -> None:
    results.replace([record(NATIVE, [3.0], [])])
    assert results.stage("vit-1", "bfloat16", 2)[NATIVE].seconds == 3.0
    assert results.stage("vit-1", "bfloat16", 2)["transformers"].seconds == 2.5
    assert results.passes == [("bfloat16", 2)]


def test_readme_has_the_table_of_the_committed_results() -> None:
    text = readme.README.read_text(encoding="utf-8")
    assert readme.with_table(text, Results.load(readme.RESULTS)) == text


def test_readme_without_markers_is_refused(results: Results) -> None:
    with pytest.raises(ValueError, match="expected the lines"):
        readme.with_table("# Title\n", results)


def test_every_kind_of_stage_is_ours() -> None:
    assert {stage.kind for stage in stages.STAGES} == ENGINES[NATIVE].kinds


def test_work_of_the_2b_model() -> None:
    """Counted by hand from its configuration, in another way."""
    (tile,) = stages.BY_NAME["vit-1"].phases("2b", "bfloat16")
    assert tile.flops == pytest.approx(0.72e12, rel=0.02)
    (prompt,) = stages.BY_NAME["prefill-320"].phases("2b", "bfloat16")
    layer = 4096 * 2048 + 2048 * 2048 + 3 * 8192 * 2048
    attention = 2 * 320**2 * 2048
    assert prompt.flops == 24 * (2 * 320 * layer + attention) + 2 * 92553 * 2048
    (step,) = stages.BY_NAME["decode-320"].phases("2b", "bfloat16")
    cache = 2 * 24 * 320 * 1024
    assert step.bytes == 2 * (24 * layer + 92553 * 2048 + cache)
    (wide,) = stages.BY_NAME["decode-320"].phases("2b", "float32")
    assert wide.bytes == 2 * step.bytes
