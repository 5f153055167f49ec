"""The model card's conversations with arrays: without torch, and without transformers.

usage: quick_start_numpy.py CHECKPOINT IMAGES ANSWERS
"""

import json
import sys
from threading import Thread

import numpy as np
from internvl.train.dataset import build_transform
from PIL import Image
from transformers import AutoModel, AutoTokenizer, TextIteratorStreamer

path, images, answers_path = sys.argv[1:]
answers = {}
transform = build_transform(is_train=False, input_size=448)


def load_image(name, max_num=1):
    image = Image.open(f"{images}/{name}").convert("RGB")
    wide = image.resize((448 * max_num, 448))
    tiles = [wide.crop((448 * i, 0, 448 * (i + 1), 448)) for i in range(max_num)]
    if len(tiles) > 1:
        tiles.append(image.resize((448, 448)))
    return np.stack([transform(tile) for tile in tiles])


model = AutoModel.from_pretrained(path, low_cpu_mem_usage=True, trust_remote_code=True).eval()
tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=True, use_fast=False)
generation_config = dict(max_new_tokens=16, do_sample=False)

question = "Hello, who are you?"
response, history = model.chat(
    tokenizer, None, question, generation_config, history=None, return_history=True
)
answers["text"] = response
question = "Can you tell me a story?"
response, history = model.chat(
    tokenizer, None, question, generation_config, history=history, return_history=True
)
answers["text, second turn"] = response

pixel_values = load_image("land.jpg", max_num=3)
question = "<image>\nPlease describe the image shortly."
answers["image"] = model.chat(tokenizer, pixel_values, question, generation_config)

pixel_values1 = load_image("land.jpg", max_num=2)
pixel_values2 = load_image("port.jpg")
answers["batch"] = model.batch_chat(
    tokenizer,
    np.concatenate((pixel_values1, pixel_values2)),
    num_patches_list=[len(pixel_values1), len(pixel_values2)],
    questions=["<image>\nDescribe the image in detail."] * 2,
    generation_config=generation_config,
)

frames = [load_image(f"frame{i}.jpg") for i in range(4)]
video = dict(num_patches_list=[len(frame) for frame in frames], return_history=True)
question = "".join(f"Frame{i + 1}: <image>\n" for i in range(4)) + "What is the red panda doing?"
pixel_values = np.concatenate(frames)
response, history = model.chat(
    tokenizer, pixel_values, question, generation_config, history=None, **video
)
question = "Describe this video in detail. Don't repeat."
response, history = model.chat(
    tokenizer, pixel_values, question, generation_config, history=history, **video
)
answers["video"] = response

streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True, timeout=10)
arguments = (
    tokenizer,
    pixel_values1,
    "<image>\nWhere?",
    dict(generation_config, streamer=streamer),
)
thread = Thread(target=model.chat, args=arguments)
thread.start()
answers["streaming"] = "".join(streamer)
thread.join()

with open(answers_path, "w") as file:
    json.dump(answers, file)
