"""Who is measured: the engine and the others, each in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass

NATIVE = "internvl-native"
_ALL = frozenset(
    {"load", "vision", "projector", "prefill", "decode", "decode_batch", "chat", "second_turn"}
)
_IMAGE = frozenset({"decode_jpeg", "preprocess", "load_image"})


@dataclass(frozen=True)
class Peer:
    """An engine of benchmarks/engines.

    Attributes:
        module: where its class `Engine` is.
        kinds: the kinds of stages that it has.
        dtypes: those of its arithmetic, or of the run that its own kind of weights is shown in.
        variant: which of several it is.
    """

    module: str
    kinds: frozenset[str]
    dtypes: tuple[str, ...] = ("bfloat16", "float32")
    variant: str = ""


ENGINES = {
    NATIVE: Peer("native", _ALL | _IMAGE | {"first_token"}),
    # The checkpoints' own code.
    "reference": Peer("reference", _ALL),
    # The same architecture as transformers has it by now.
    "transformers": Peer("transformers_classes", _ALL - {"load"}),
    # Loading maps the file and reads nothing, llama-cpp-python evaluates one sequence at a time,
    # and there is no vision part for these checkpoints.
    "llama.cpp": Peer("llama_cpp", frozenset({"prefill", "decode"}), ("bfloat16",), "BF16"),
    "llama.cpp-Q8_0": Peer("llama_cpp", frozenset({"prefill", "decode"}), ("bfloat16",), "Q8_0"),
    "openvino": Peer("openvino_vision", frozenset({"vision"})),
    "pillow": Peer("pillow", _IMAGE),
}
PEERS = [name for name in ENGINES if name != NATIVE]
