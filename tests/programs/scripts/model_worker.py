"""The Streamlit demo's model worker: a thread, a streamer, conversations as lists.

usage: model_worker.py CHECKPOINT IMAGES ANSWERS
"""

import json
import sys
from threading import Thread

import torch
from internvl.train.dataset import build_transform, dynamic_preprocess
from PIL import Image
from transformers import AutoModel, AutoTokenizer, TextIteratorStreamer

path, images, answers_path = sys.argv[1:]

tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=True, use_fast=False)
tokens_to_keep = ["<box>", "</box>", "<ref>", "</ref>"]
tokenizer.additional_special_tokens = [
    item for item in tokenizer.additional_special_tokens if item not in tokens_to_keep
]
model = AutoModel.from_pretrained(
    path, load_in_8bit=False, torch_dtype=torch.bfloat16, trust_remote_code=True
).eval()
model = model.cuda()
image_size = model.config.force_image_size


@torch.inference_mode()
def generate_stream(system_message, messages, image_names, max_tiles):
    history = [list(turn) for turn in messages]
    question, history = history[-1][0], history[:-1]
    old_system_message = model.system_message
    model.system_message = system_message
    image_tiles, num_patches_list = [], []
    transform = build_transform(is_train=False, input_size=image_size)
    for name in image_names:
        image = Image.open(f"{images}/{name}")
        if model.config.dynamic_image_size:
            tiles = dynamic_preprocess(
                image, image_size=image_size, max_num=max_tiles,
                use_thumbnail=model.config.use_thumbnail,
            )  # fmt: skip
        else:
            tiles = [image]
        num_patches_list.append(len(tiles))
        image_tiles += tiles
    pixel_values = None
    if image_tiles:
        pixel_values = [transform(item) for item in image_tiles]
        pixel_values = torch.stack(pixel_values).to(model.device, dtype=torch.bfloat16)

    streamer = TextIteratorStreamer(
        tokenizer, skip_prompt=True, skip_special_tokens=True, timeout=10
    )
    generation_config = dict(
        num_beams=1,
        max_new_tokens=20,
        do_sample=False,
        temperature=0.0,
        repetition_penalty=1.1,
        max_length=8192,
        top_p=0.7,
        streamer=streamer,
    )
    thread = Thread(
        target=model.chat,
        kwargs=dict(
            tokenizer=tokenizer,
            pixel_values=pixel_values,
            num_patches_list=num_patches_list,
            question=question,
            history=history,
            return_history=False,
            generation_config=generation_config,
        ),
    )
    thread.start()
    generated_text = ""
    for new_text in streamer:
        generated_text += new_text
        if generated_text.endswith(model.conv_template.sep):
            generated_text = generated_text[: -len(model.conv_template.sep)]
        yield generated_text
    thread.join()
    model.system_message = old_system_message


def answer(*arguments):
    pieces = list(generate_stream(*arguments))
    assert len(pieces) > 1, "the text did not come in pieces"
    return pieces[-1]


first = [["<image>\nWhat is this?"]]
answers = {
    "text": answer("You are a poet.", [["Hello, who are you?"]], [], 6),
    "image": answer("Answer briefly.", first, ["rgba.png"], 6),
}
turns = [[first[0][0], answers["image"]], ["<image>\nWhich of the two is larger?"]]
answers["two images"] = answer("Answer briefly.", turns, ["rgba.png", "port.jpg"], 3)
with open(answers_path, "w") as file:
    json.dump(answers, file)
