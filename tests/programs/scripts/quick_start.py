"""Every section of the model card's quick start, in its order, with torch and torchvision.

usage: quick_start.py CHECKPOINT IMAGES ANSWERS
"""

import json
import sys
from threading import Thread

import torch
import torchvision.transforms as T
from PIL import Image
from torchvision.transforms.functional import InterpolationMode
from transformers import AutoConfig, AutoModel, AutoTokenizer, TextIteratorStreamer

path, images, answers_path = sys.argv[1:]
answers = {}

transform = T.Compose(
    [
        T.Lambda(lambda image: image.convert("RGB") if image.mode != "RGB" else image),
        T.Resize((448, 448), interpolation=InterpolationMode.BICUBIC),
        T.ToTensor(),
        T.Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    ]
)


def load_image(name, max_num=1):
    """The image as `max_num` columns of tiles, and a thumbnail where there is more than one."""
    image = Image.open(f"{images}/{name}").convert("RGB")
    wide = image.resize((448 * max_num, 448))
    tiles = [wide.crop((448 * i, 0, 448 * (i + 1), 448)) for i in range(max_num)]
    if len(tiles) > 1:
        tiles.append(image.resize((448, 448)))
    return torch.stack([transform(tile) for tile in tiles])


config = AutoConfig.from_pretrained(path, trust_remote_code=True)
print(f"{config.llm_config.num_hidden_layers} layers")
model = AutoModel.from_pretrained(
    path,
    torch_dtype=torch.bfloat16,
    low_cpu_mem_usage=True,
    trust_remote_code=True).eval().cuda()  # fmt: skip
tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=True, use_fast=False)

# set the max number of tiles in `max_num`
pixel_values = load_image("land.jpg", max_num=3).to(torch.bfloat16).cuda()
generation_config = dict(max_new_tokens=16, do_sample=False)

# pure-text conversation
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

# single-image single-round conversation
question = "<image>\nPlease describe the image shortly."
answers["image"] = model.chat(tokenizer, pixel_values, question, generation_config)

# single-image multi-round conversation
question = "<image>\nPlease describe the image in detail."
response, history = model.chat(
    tokenizer, pixel_values, question, generation_config, history=None, return_history=True
)
question = "Please write a poem according to the image."
response, history = model.chat(
    tokenizer, pixel_values, question, generation_config, history=history, return_history=True
)
answers["image, both turns"] = [list(turn) for turn in history]

# multi-image multi-round conversation, combined images
pixel_values1 = load_image("land.jpg", max_num=2).to(torch.bfloat16).cuda()
pixel_values2 = load_image("port.jpg").to(torch.bfloat16).cuda()
pixel_values = torch.cat((pixel_values1, pixel_values2), dim=0)
question = "<image>\nDescribe the two images in detail."
response, history = model.chat(
    tokenizer, pixel_values, question, generation_config, history=None, return_history=True
)
question = "What are the similarities and differences between these two images."
response, history = model.chat(
    tokenizer, pixel_values, question, generation_config, history=history, return_history=True
)
answers["combined images"] = response

# multi-image multi-round conversation, separate images
num_patches_list = [pixel_values1.size(0), pixel_values2.size(0)]
question = "Image-1: <image>\nImage-2: <image>\nDescribe the two images in detail."
response, history = model.chat(
    tokenizer, pixel_values, question, generation_config,
    num_patches_list=num_patches_list, history=None, return_history=True,
)  # fmt: skip
question = "What are the similarities and differences between these two images."
response, history = model.chat(
    tokenizer, pixel_values, question, generation_config,
    num_patches_list=num_patches_list, history=history, return_history=True,
)  # fmt: skip
answers["separate images"] = response

# batch inference, single image per sample
questions = ["<image>\nDescribe the image in detail."] * len(num_patches_list)
answers["batch"] = model.batch_chat(
    tokenizer, pixel_values,
    num_patches_list=num_patches_list, questions=questions, generation_config=generation_config,
)  # fmt: skip

# video multi-round conversation
frames = [load_image(f"frame{i}.jpg") for i in range(4)]
pixel_values = torch.cat(frames).to(torch.bfloat16).cuda()
num_patches_list = [len(frame) for frame in frames]
video_prefix = "".join([f"Frame{i + 1}: <image>\n" for i in range(len(num_patches_list))])
question = video_prefix + "What is the red panda doing?"
response, history = model.chat(
    tokenizer, pixel_values, question, generation_config,
    num_patches_list=num_patches_list, history=None, return_history=True,
)  # fmt: skip
question = "Describe this video in detail. Don't repeat."
response, history = model.chat(
    tokenizer, pixel_values, question, generation_config,
    num_patches_list=num_patches_list, history=history, return_history=True,
)  # fmt: skip
answers["video"] = response

# streaming output
streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True, timeout=10)
generation_config = dict(max_new_tokens=16, do_sample=False, streamer=streamer)
thread = Thread(
    target=model.chat,
    kwargs=dict(
        tokenizer=tokenizer, pixel_values=pixel_values1, question="<image>\nWhere?",
        history=None, return_history=False, generation_config=generation_config,
    ),
)  # fmt: skip
thread.start()
generated_text = ""
for new_text in streamer:
    if new_text == model.conv_template.sep:
        break
    generated_text += new_text
thread.join()
answers["streaming"] = generated_text

with open(answers_path, "w") as file:
    json.dump(answers, file)
