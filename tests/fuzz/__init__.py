"""Fuzzing: README.md says how it works and how to reproduce a finding."""
