"""One module per file of tests/data: `regenerate(impl, data)` computes it anew from its inputs."""
