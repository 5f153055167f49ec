"""InternVL-Chat-V1.5 on a native engine: a drop-in for the Hugging Face remote code."""
