"""The repository's package `internvl`, as far as running a model goes."""
