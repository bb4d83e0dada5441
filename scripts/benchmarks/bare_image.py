"""The bare pipeline of `scripts/bench image`: diffusers' own on the same model, in a process of its own.

Reads orders (`num_steps prompt` a line) on standard input, answers each with the seconds taken.
"""

import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from diffusers import DiffusionPipeline

from config.command_line import load
from workers.embedded import IMAGE
from workers.hub import device_of, dtype_of, settle, source_of
from workers.process import keep_freed_memory


def main(model_name: str, flags: list[str]) -> None:
    keep_freed_memory()
    settle()
    model = load(flags, {}).models[model_name]
    device = device_of(model.device)
    source = source_of(model.path, IMAGE, "model_index.json")
    pipeline = DiffusionPipeline.from_pretrained(  # type: ignore[no-untyped-call]
        source, dtype=dtype_of(model.dtype, device)
    ).to(device)
    pipeline.set_progress_bar_config(disable=True)
    print(type(pipeline).__name__, flush=True)
    for line in sys.stdin:
        num_steps, prompt = line.rstrip("\n").split(" ", 1)
        generator = torch.Generator().manual_seed(1)
        began = time.monotonic()
        pipeline(
            prompt,
            num_inference_steps=int(num_steps),
            guidance_scale=model.guidance_scale,
            generator=generator,
        )
        print(time.monotonic() - began, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
