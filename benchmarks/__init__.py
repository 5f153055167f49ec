"""The engine against the machine's ceilings and its peers: ``python -m benchmarks --help``."""
