"""One module an engine, each with a class `Engine` that only the engine's own process imports."""
