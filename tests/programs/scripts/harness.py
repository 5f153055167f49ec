"""Benchmark harnesses (VLMEvalKit, lmms-eval): how their wrappers of the model load and ask.

usage: harness.py CHECKPOINT IMAGES ANSWERS
"""

import json
import re
import sys

import torch
import transformers
from internvl.train.dataset import build_transform, dynamic_preprocess
from packaging import version
from PIL import Image
from transformers import AutoModel, AutoTokenizer

path, images, answers_path = sys.argv[1:]


def load_image(name, size, max_num=6):
    image = Image.open(f"{images}/{name}").convert("RGB")
    transform = build_transform(is_train=False, input_size=size)
    tiles = dynamic_preprocess(image, image_size=size, use_thumbnail=True, max_num=max_num)
    return torch.stack([transform(tile) for tile in tiles])


class Wrapper:
    def __init__(self, model_path, **kwargs):
        assert version.parse(transformers.__version__) >= version.parse("4.37.2")
        self.tokenizer = AutoTokenizer.from_pretrained(
            model_path, trust_remote_code=True, use_fast=False
        )
        self.model = AutoModel.from_pretrained(
            model_path, torch_dtype=torch.bfloat16, trust_remote_code=True,
            low_cpu_mem_usage=True, device_map="auto",
        ).eval()  # fmt: skip
        self.device = "cuda"
        self.size = self.model.config.force_image_size
        self.kwargs = {**dict(do_sample=False, max_new_tokens=20, top_p=None), **kwargs}

    @torch.no_grad()
    def generate(self, message):
        names = [item["value"] for item in message if item["type"] == "image"]
        text = "\n".join(item["value"] for item in message if item["type"] == "text")
        tiles = [load_image(name, self.size).to(self.device).to(torch.bfloat16) for name in names]
        prefix = "".join(f"Image-{i + 1}: <image>\n" for i in range(len(names)))
        return self.model.chat(
            self.tokenizer,
            pixel_values=torch.cat(tiles, dim=0) if tiles else None,
            num_patches_list=[tile.size(0) for tile in tiles],
            question=prefix + text,
            generation_config=self.kwargs,
            verbose=True,
        )


class EvaluationModel:
    def __init__(self, pretrained, device_map="cuda:0"):
        self.device = torch.device("cuda:0")
        self.model = AutoModel.from_pretrained(
            pretrained, torch_dtype=torch.bfloat16, low_cpu_mem_usage=True,
            trust_remote_code=True, device_map=device_map,
        ).eval()  # fmt: skip
        self.tokenizer = AutoTokenizer.from_pretrained(
            pretrained, trust_remote_code=True, device_map=device_map, use_fast=False
        )
        self.model.to(self.device)
        self.size = self.model.config.force_image_size

    def generate_until(self, requests):
        responses = []
        for context, gen_kwargs, names in requests:
            visuals = [load_image(n, self.size).to(torch.bfloat16).to(self.device) for n in names]
            response, _history = self.model.chat(
                self.tokenizer,
                torch.cat(visuals, dim=0),
                " ".join(["<image>"] * len(visuals)) + "\n" + context,
                gen_kwargs,
                num_patches_list=[visual.size(0) for visual in visuals],
                history=None,
                return_history=True,
            )
            responses.append(response)
        return responses


def message(text, *names):
    pictures = [dict(type="image", value=name) for name in names]
    return [dict(type="text", value=text), *pictures]


wrapper = Wrapper(path)
answers = {
    "no image": wrapper.generate(message("What is a benchmark?")),
    "one image": wrapper.generate(message("What is this?", "land.jpg")),
    "two images": wrapper.generate(message("Which is older?", "cmyk.jpg", "port.jpg")),
}
answers["beams"] = Wrapper(path, num_beams=3, length_penalty=0.8).generate(
    message("Describe it.", "square448.jpg")
)
evaluation = EvaluationModel(path)
generation = dict(num_beams=1, max_new_tokens=20, do_sample=False)
answers["evaluation"] = evaluation.generate_until(
    [("What?", dict(generation), ["tower.jpg"]), ("Why?", generation, ["land.jpg", "gray.png"])]
)
assert all(re.search(r"\S", text) for text in answers["evaluation"])
with open(answers_path, "w") as file:
    json.dump(answers, file)
