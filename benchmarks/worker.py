"""The process of one engine: python -m benchmarks.worker ENGINE JOB

Answers each line of standard input, a JSON list of a kind and its sizes, with a line of JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Any

from .engines.job import Job, Measurable
from .peers import ENGINES


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever libraries print must not come between the answers

    def answer(content: dict[str, Any]) -> None:
        print(json.dumps(content), file=answers, flush=True)

    name, job = sys.argv[1], Job.loads(sys.argv[2])
    try:
        module = importlib.import_module(f"benchmarks.engines.{ENGINES[name].module}")
        engine: Measurable = module.Engine(job)
    except ImportError as error:
        traceback.print_exc()
        answer({"absent": str(error)})
        return
    answer({"description": engine.description})
    for line in sys.stdin:
        kind, *sizes = json.loads(line)
        try:
            answer({"seconds": engine.measures[kind](*sizes)})
        except Exception as error:
            traceback.print_exc()
            answer({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
