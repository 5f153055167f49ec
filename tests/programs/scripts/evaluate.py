"""The evaluation scripts of the InternVL repository in one: what they call, in their order.

usage: evaluate.py --task TASK --checkpoint CHECKPOINT --images IMAGES --answers ANSWERS
"""

import argparse
import itertools
import json
import os
import random
from functools import partial

import torch
from internvl.model import load_model_and_tokenizer
from internvl.train.dataset import build_transform, dynamic_preprocess
from PIL import Image

SINGLE = "{} Answer the question using a single word or phrase."
OPTIONS = (
    "{}\nA. a house\nB. a tree\nAnswer with the option's letter from the given choices directly."
)
TASKS = {  # prompt, and what the task's script passes beside num_beams and sampling
    "caption": ("Provide a one-sentence caption for the provided image.",
                dict(max_new_tokens=12, min_new_tokens=8)),
    "vqa": (SINGLE, dict(max_new_tokens=10, min_new_tokens=1)),
    "mme": (SINGLE, dict(top_k=50, top_p=0.9, max_new_tokens=20)),
    "pope": (SINGLE, dict(max_new_tokens=12, min_new_tokens=1)),
    "mmvet": ("{}", dict(max_new_tokens=24, min_new_tokens=1)),
    "mmmu": (OPTIONS, dict(max_new_tokens=10, min_new_tokens=1)),
    "refcoco": ("Please provide the bounding box coordinate of the region this sentence describes: "
                "<ref>{}</ref>", dict(max_new_tokens=16, min_new_tokens=1)),
    "mvbench": (OPTIONS, dict(max_new_tokens=12, min_new_tokens=1)),
}  # fmt: skip
FRAMES = ["frame0.jpg", "frame1.jpg", "frame2.jpg", "frame3.jpg"]
SAMPLES = [("land.jpg", "What is in the foreground?"), ("gray.jpg", "Is there a person?"),
           ("palette.png", "What colour is the sky?")]  # fmt: skip


class SampleDataset(torch.utils.data.Dataset):
    def __init__(self, prompt, input_size, dynamic_image_size, use_thumbnail, max_num):
        self.prompt = prompt
        self.input_size = input_size
        self.dynamic_image_size = dynamic_image_size
        self.use_thumbnail = use_thumbnail
        self.max_num = max_num
        self.transform = build_transform(is_train=False, input_size=input_size)

    def __len__(self):
        return len(SAMPLES)

    def __getitem__(self, index):
        name, question = SAMPLES[index]
        question = self.prompt.format(question)
        names = [name]
        if args.task == "mvbench":
            names = FRAMES
            lines = [f"Frame{i + 1}: <image>" for i in range(len(names))]
            question = "\n".join(lines) + "\n" + question
        tiles, num_patches_list = [], []
        for file_name in names:
            image = Image.open(os.path.join(args.images, file_name)).convert("RGB")
            if self.dynamic_image_size:
                patches = dynamic_preprocess(
                    image, image_size=self.input_size, use_thumbnail=self.use_thumbnail,
                    max_num=self.max_num,
                )  # fmt: skip
            else:
                patches = [image]
            num_patches_list.append(len(patches))
            tiles.extend(patches)
        pixel_values = torch.stack([self.transform(tile) for tile in tiles])
        return {
            "question_id": index,
            "question": question,
            "pixel_values": pixel_values,
            "num_patches_list": num_patches_list,
        }


def collate_fn(batches, tokenizer):
    pixel_values = torch.cat([_["pixel_values"] for _ in batches], dim=0)
    questions = [_["question"] for _ in batches]
    question_ids = [_["question_id"] for _ in batches]
    tokens = tokenizer(questions, return_tensors="pt")
    assert tokens.input_ids.shape == tokens.attention_mask.shape
    return pixel_values, questions, question_ids, batches[0]["num_patches_list"]


class InferenceSampler(torch.utils.data.sampler.Sampler):
    def __init__(self, size):
        rank = torch.distributed.get_rank()
        world_size = torch.distributed.get_world_size()
        self.indices = range(rank * size // world_size, (rank + 1) * size // world_size)

    def __iter__(self):
        yield from self.indices

    def __len__(self):
        return len(self.indices)


def evaluate_chat_model():
    random.seed(args.seed)
    prompt, settings = TASKS[args.task]
    dataset = SampleDataset(prompt, image_size, args.dynamic, use_thumbnail, args.max_num)
    dataloader = torch.utils.data.DataLoader(
        dataset=dataset,
        sampler=InferenceSampler(len(dataset)),
        batch_size=args.batch_size,
        num_workers=args.num_workers,
        pin_memory=True,
        drop_last=False,
        collate_fn=partial(collate_fn, tokenizer=tokenizer),
    )
    outputs = []
    for pixel_values, questions, question_ids, num_patches_list in dataloader:
        pixel_values = pixel_values.to(torch.bfloat16).cuda()
        generation_config = dict(
            num_beams=args.num_beams,
            do_sample=True if args.temperature > 0 else False,
            temperature=args.temperature,
            **settings,
        )
        video = dict(num_patches_list=num_patches_list) if args.task == "mvbench" else {}
        pred = model.chat(
            tokenizer=tokenizer,
            pixel_values=pixel_values,
            question=questions[0],
            generation_config=generation_config,
            verbose=True,
            **video,
        )
        outputs.append({"question_id": question_ids[0], "answer": pred})

    torch.distributed.barrier()
    world_size = torch.distributed.get_world_size()
    merged_outputs = [None for _ in range(world_size)]
    torch.distributed.all_gather_object(merged_outputs, json.dumps(outputs))
    merged_outputs = [json.loads(_) for _ in merged_outputs]
    merged_outputs = [_ for _ in itertools.chain.from_iterable(merged_outputs)]
    if torch.distributed.get_rank() == 0:
        with open(args.answers, "w") as file:
            json.dump({str(_["question_id"]): _["answer"] for _ in merged_outputs}, file)
    torch.distributed.barrier()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", choices=TASKS)
    parser.add_argument("--checkpoint", type=str, default="")
    parser.add_argument("--images", type=str)
    parser.add_argument("--answers", type=str)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--num-workers", type=int, default=1)
    parser.add_argument("--num-beams", type=int, default=1)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dynamic", action="store_true")
    parser.add_argument("--max-num", type=int, default=6)
    parser.add_argument("--load-in-8bit", action="store_true")
    parser.add_argument("--load-in-4bit", action="store_true")
    parser.add_argument("--auto", action="store_true")
    args = parser.parse_args()

    torch.distributed.init_process_group(
        backend="nccl",
        world_size=int(os.getenv("WORLD_SIZE", "1")),
        rank=int(os.getenv("RANK", "0")),
    )
    torch.cuda.set_device(int(os.getenv("LOCAL_RANK", 0)))

    model, tokenizer = load_model_and_tokenizer(args)
    image_size = model.config.force_image_size or model.config.vision_config.image_size
    use_thumbnail = model.config.use_thumbnail
    total_params = sum(p.numel() for p in model.parameters()) / 1e9
    if total_params > 20:
        args.num_beams = 1
    print(f"[test] total_params: {total_params}B, template: {model.config.template}")
    evaluate_chat_model()
    torch.distributed.destroy_process_group()
