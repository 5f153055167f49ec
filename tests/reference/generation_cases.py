"""Writes tests/generation/cases.json: what transformers 4.37.2 generates on the hash model.

Usage, with torch and transformers 4.37.2:
    PYTHONPATH=python:. python tests/reference/generation_cases.py [COUNT]

Cases are drawn at random over all options. `generate` is called as InternVL calls it, on
embeddings. Random choices are made by the package's generator instead of torch's: torch.multinomial
is replaced by an inverse cumulative sum over Philox4x32-10 numbers, written here independently.
"""

from __future__ import annotations

import copy
import json
import random
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tests.generation.hash_model import HIDDEN_SIZE, PROMPT_LENGTH, hidden_of, logits_of
from transformers.modeling_outputs import CausalLMOutputWithPast

OUTPUT = Path(__file__).parents[1] / "generation" / "cases.json"


class HashConfig(transformers.PretrainedConfig):  # type: ignore[misc]
    model_type = "hash"

    def __init__(self, vocab_size: int = 40) -> None:
        self.vocab_size = vocab_size
        super().__init__(bos_token_id=1, eos_token_id=2, pad_token_id=2)


class TorchHashModel(transformers.PreTrainedModel):  # type: ignore[misc]
    """The hash model; its cache holds the prompt's number and the tokens since."""

    config_class = HashConfig

    def __init__(self, config: HashConfig) -> None:
        super().__init__(config)
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def can_generate(self) -> bool:
        return True

    def prepare_inputs_for_generation(
        self,
        input_ids: Any,
        past_key_values: Any = None,
        attention_mask: Any = None,
        inputs_embeds: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        first = past_key_values is None
        inputs = {"inputs_embeds": inputs_embeds} if first else {"input_ids": input_ids[:, -1:]}
        return {**inputs, "past_key_values": past_key_values, "attention_mask": attention_mask}

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        past_key_values: Any = None,
        inputs_embeds: Any = None,
        use_cache: Any = None,
        output_attentions: Any = None,
        output_hidden_states: Any = None,
        return_dict: Any = None,
    ) -> CausalLMOutputWithPast:
        if past_key_values is None:
            cache = inputs_embeds[:, 0, :1].reshape(-1, 1, 1, 1)
            positions = PROMPT_LENGTH
        else:
            cache = torch.cat([past_key_values[0][0], input_ids.reshape(-1, 1, 1, 1)], dim=2)
            positions = 1
        rows = cache[:, 0, :, 0].long().tolist()
        logits = [logits_of(row[0], row[1:], self.config.vocab_size) for row in rows]
        states = [
            np.stack([hidden_of(row[0], row[1:], position) for position in range(positions)])
            for row in rows
        ]
        last = torch.from_numpy(np.stack(states))
        return CausalLMOutputWithPast(
            logits=torch.from_numpy(np.stack(logits))[:, None],
            past_key_values=((cache, cache),),
            hidden_states=(2 * last, last),
        )

    @staticmethod
    def _reorder_cache(past: Any, beams: Any) -> Any:
        return tuple(tuple(x.index_select(0, beams) for x in layer) for layer in past)


class Draws:
    """Philox4x32-10 numbers by (step, row, draw)."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.step = 0

    def uniform(self, row: int, draw: int) -> float:
        mask = 2**32 - 1
        counter = [self.step, row, draw, 0]
        keys = [self.seed & mask, self.seed >> 32]
        for _ in range(10):
            low, high = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
            counter = [
                (high >> 32) ^ counter[1] ^ keys[0],
                high & mask,
                (low >> 32) ^ counter[3] ^ keys[1],
                low & mask,
            ]
            keys = [(keys[0] + 0x9E3779B9) & mask, (keys[1] + 0xBB67AE85) & mask]
        return float(((counter[0] << 32) | counter[1]) >> 11) * 2.0**-53

    def multinomial(self, probabilities: Any, num_samples: int) -> Any:
        chosen = []
        for row, values in enumerate(probabilities.numpy().astype(np.float64)):
            left = values.copy()
            indices: list[int] = []
            for draw in range(num_samples):
                if not left.any():  # too few possible tokens: others follow in ascending order
                    rest = [i for i in range(len(left)) if i not in indices]
                    indices += rest[: num_samples - draw]
                    break
                sums = np.cumsum(left)
                target = self.uniform(row, draw) * sums[-1]
                indices.append(int(np.searchsorted(sums, target, side="right")))
                left[indices[-1]] = 0.0
            chosen.append(indices)
        self.step += 1
        return torch.tensor(chosen)


def draw_parameters(rng: random.Random, vocab_size: int) -> dict[str, Any]:
    """A random generation_config."""

    def token() -> int:
        return rng.randrange(vocab_size)

    def some(low: int, high: int) -> list[int]:
        return [token() for _ in range(rng.randint(low, high))]

    options: list[tuple[float, str, Any]] = [
        (0.7, "max_new_tokens", rng.randint(1, 12)),
        (0.2, "max_length", rng.randint(2, 12)),
        (0.3, "eos_token_id", token()),
        (0.4, "eos_token_id", some(1, 4)),
        (0.05, "eos_token_id", None),
        (0.15, "pad_token_id", rng.choice([None, 0, 5])),
        (0.1, "bos_token_id", token()),
        (0.3, "repetition_penalty", rng.choice([1.3, 0.5, 1.05, None])),
        (0.25, "no_repeat_ngram_size", rng.randint(0, 3)),
        (0.2, "min_length", rng.randint(0, 9)),
        (0.2, "min_new_tokens", rng.randint(0, 9)),
        (0.15, "bad_words_ids", [some(1, 2) for _ in range(4)]),
        (0.15, "suppress_tokens", some(0, 5)),
        (0.15, "begin_suppress_tokens", some(0, 20)),
        (0.1, "forced_bos_token_id", token()),
        (0.1, "forced_eos_token_id", rng.choice([token(), some(2, 2)])),
        (0.1, "remove_invalid_values", True),
        (0.15, "renormalize_logits", True),
        (0.15, "sequence_bias", [[some(1, 3), rng.choice([-5.0, 3.5, 1.0])] for _ in range(4)]),
        (0.1, "exponential_decay_length_penalty", [rng.randint(0, 5), rng.choice([1.1, 0.9])]),
        (0.1, "forced_decoder_ids", [[rng.randint(1, 5), token()] for _ in range(2)]),
    ]
    parameters = {name: value for chance, name, value in options if rng.random() < chance}
    if parameters.get("eos_token_id", 2) is None:
        parameters.pop("exponential_decay_length_penalty", None)
    draw_search(rng, parameters)
    if rng.random() < 0.6:
        parameters.update(return_dict_in_generate=True, output_scores=True)
    return parameters


def draw_search(rng: random.Random, parameters: dict[str, Any]) -> None:
    search = rng.choice(["greedy", "sample", "beam", "beam", "group", "beam sample", "contrastive"])
    if search == "contrastive":
        parameters.update(penalty_alpha=rng.choice([0.2, 0.6]), top_k=rng.choice([2, 5]))
    if search in ("beam", "group", "beam sample"):
        parameters["num_beams"] = rng.choice([2, 4] if search == "group" else [2, 3, 5])
        parameters["length_penalty"] = rng.choice([0.0, 1.0, 2.0, -1.0, 0.3])
        parameters["early_stopping"] = rng.choice([True, False, "never"])
        parameters["num_return_sequences"] = rng.randint(1, parameters["num_beams"])
    if search == "group":
        parameters.update(num_beam_groups=2, diversity_penalty=rng.choice([0.2, 2.0]))
    if search in ("sample", "beam sample"):
        parameters["do_sample"] = True
        parameters["temperature"] = rng.choice([0.3, 0.7, 1.5, None])
        parameters["top_k"] = rng.choice([0, 5, 50, None])
        parameters["top_p"] = rng.choice([0.9, 0.5, 1.0, None])
        parameters["typical_p"] = rng.choice([1.0, 1.0, 0.6])
        parameters["epsilon_cutoff"] = rng.choice([0.0, 0.0, 0.02])
        parameters["eta_cutoff"] = rng.choice([0.0, 0.0, 0.02])
    if search == "sample":
        parameters["num_return_sequences"] = rng.randint(1, 3)


def from_json(parameters: dict[str, Any]) -> dict[str, Any]:
    """Types that JSON lacks."""
    result = copy.deepcopy(parameters)
    if "sequence_bias" in result:
        result["sequence_bias"] = {tuple(t): bias for t, bias in result["sequence_bias"]}
    return result


def run_case(seed: int) -> dict[str, Any] | None:
    """A case, or None where the drawn parameters make the reference fail."""
    rng = random.Random(seed)
    vocab_size = rng.choice([40, 40, 700])
    prompts = [rng.randrange(1000) for _ in range(rng.randint(1, 4))]
    parameters = draw_parameters(rng, vocab_size)
    torch.multinomial = Draws(seed).multinomial
    embeddings = torch.zeros(len(prompts), PROMPT_LENGTH, HIDDEN_SIZE)
    embeddings[:, :, 0] = torch.tensor(prompts)[:, None]
    mask = torch.ones(len(prompts), PROMPT_LENGTH, dtype=torch.long)
    model = TorchHashModel(HashConfig(vocab_size)).eval()
    case: dict[str, Any] = {
        "seed": seed,
        "vocab_size": vocab_size,
        "prompts": prompts,
        "parameters": parameters,
    }
    try:
        output = model.generate(
            inputs_embeds=embeddings, attention_mask=mask, **from_json(parameters)
        )
    except ValueError:
        return None
    if isinstance(output, torch.Tensor):
        return {**case, "sequences": output.tolist()}
    case["sequences"] = output.sequences.tolist()
    case["scores"] = len(output.scores)
    # The sum of each row's finite scores in the last step, to six digits.
    case["score_sums"] = [
        float(f"{row[torch.isfinite(row)].double().sum():.6g}") for row in output.scores[-1]
    ]
    for name in ("sequences_scores", "beam_indices"):
        if name in output:
            case[name] = output[name].tolist()
    return case


def main(count: int) -> None:
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    cases = [case for case in map(run_case, range(count)) if case is not None]
    lines = [json.dumps(case, separators=(",", ":")) for case in cases]
    OUTPUT.write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
