"""``python -m benchmarks``: the engine's stages, see benchmarks/engine.py."""

from .engine import main

main()
