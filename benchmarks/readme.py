"""README's table from the results in benchmarks/results: python -m benchmarks.readme [--check]"""

from __future__ import annotations

import argparse
from pathlib import Path

from .results import Results
from .table import document

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results" / "2b.json"
BEGIN = "<!-- python -m benchmarks.readme -->\n"
END = "<!-- end of the table -->\n"


def with_table(text: str, results: Results) -> str:
    """The text with the table between the two markers. ValueError where they are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{README.name}: expected the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{document(results)}\n\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if it would change")
    check: bool = parser.parse_args().check
    text = README.read_text(encoding="utf-8")
    new_text = with_table(text, Results.load(RESULTS))
    if check and new_text != text:
        raise SystemExit(f"{README.name}: not from {RESULTS.name}: run python -m benchmarks.readme")
    README.write_text(new_text, encoding="utf-8")


if __name__ == "__main__":
    main()
