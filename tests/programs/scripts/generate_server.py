"""A server's worker: prompts of its own, `generate` in a thread, text streamed from tokens.

usage: generate_server.py CHECKPOINT IMAGES ANSWERS
"""

import json
import sys
from threading import Thread

import torch
from internvl.conversation import get_conv_template
from internvl.model.internvl_chat import InternVLChatModel
from internvl.train.constants import IMG_CONTEXT_TOKEN, IMG_END_TOKEN, IMG_START_TOKEN
from internvl.train.dataset import build_transform, dynamic_preprocess
from PIL import Image
from transformers import AutoTokenizer, GenerationConfig, TextIteratorStreamer, set_seed
from transformers.utils import logging

logging.set_verbosity_error()
logger = logging.get_logger(__name__)
path, images, answers_path = sys.argv[1:]

set_seed(42)
tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=True, use_fast=False)
model = InternVLChatModel.from_pretrained(path, torch_dtype=torch.bfloat16).eval().cuda()
model.img_context_token_id = tokenizer.convert_tokens_to_ids(IMG_CONTEXT_TOKEN)
template = get_conv_template(model.template)
template.system_message = model.system_message


def pixel_values_of(name):
    image = Image.open(f"{images}/{name}").convert("RGB")
    size = model.config.force_image_size
    transform = build_transform(is_train=False, input_size=size)
    tiles = dynamic_preprocess(image, image_size=size, max_num=4, use_thumbnail=True)
    return torch.stack([transform(tile) for tile in tiles]).to(torch.bfloat16).cuda()


def request(name, question, **parameters):
    conversation = template.copy()
    pixel_values = pixel_values_of(name)
    tokens = IMG_CONTEXT_TOKEN * model.num_image_token * len(pixel_values)
    conversation.append_message(
        conversation.roles[0], IMG_START_TOKEN + tokens + IMG_END_TOKEN + "\n" + question
    )
    conversation.append_message(conversation.roles[1], None)
    inputs = tokenizer(conversation.get_prompt(), return_tensors="pt")
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
    thread = Thread(
        target=model.generate,
        kwargs=dict(
            pixel_values=pixel_values,
            input_ids=inputs["input_ids"].cuda(),
            attention_mask=inputs["attention_mask"].cuda(),
            eos_token_id=tokenizer.convert_tokens_to_ids(template.sep),
            streamer=streamer,
            **parameters,
        ),
    )
    thread.start()
    return thread, streamer


greedy = dict(max_new_tokens=16, do_sample=False, num_beams=1)
requests = {
    "first": request("land.jpg", "Where was this taken?", **greedy),
    "second": request("gray16.png", "What is it?", **greedy),
    "with a config": request(
        "port.jpg", "What is it?",
        generation_config=GenerationConfig(
            max_new_tokens=16, bos_token_id=tokenizer.bos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        ),
    ),
}  # fmt: skip
answers = {}
for key, (thread, streamer) in requests.items():
    answers[key] = "".join(streamer).strip()
    thread.join()
with open(answers_path, "w") as file:
    json.dump(answers, file)
