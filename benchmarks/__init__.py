"""Measurements against ceilings taken in the same run: ``python -m benchmarks.engine --help``."""
