"""Peer of bench_gpu: steps in bf16 autocast with float32 parameters, clipping to norm 1 and fused AdamW, timed by events.

usage: torch_gpu_train.py SHAPE MICRO_BATCH LENGTH MICRO_BATCHES compile|eager
Follows driver.py's protocol on standard input: prints one JSON line when ready, answers "run K" with K times.
"""
import sys

import torch

import driver
import torch_gpu_models

WARM_UP = 5


def main():
    name, batch, length, micro_batches, mode = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5]
    torch.set_float32_matmul_precision("high")
    torch.manual_seed(0)
    with torch.device("cuda"):
        model = torch_gpu_models.Model(torch_gpu_models.SHAPES[name], length)
    loss_of = torch.compile(model) if mode == "compile" else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1, fused=True)
    tokens = torch.randint(0, model.vocab, (batch, length + 1), device="cuda")
    inputs, targets = tokens[:, :-1], tokens[:, 1:].contiguous()

    def step():
        for _ in range(micro_batches):
            with torch.autocast("cuda", torch.bfloat16):
                loss = loss_of(inputs, targets) / micro_batches
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def timed(count):
        marks = [torch.cuda.Event(True) for _ in range(count + 1)]
        marks[0].record()
        for mark in marks[1:]:
            step()
            mark.record()
        torch.cuda.synchronize()
        return [a.elapsed_time(b) for a, b in zip(marks, marks[1:])]

    timed(WARM_UP)
    driver.say(ready=True, program=f"torch-{mode}", version=torch.__version__,
               peak_memory_gib=torch.cuda.max_memory_allocated() / 2**30)
    for line in sys.stdin:
        driver.say(ms=timed(int(line.split()[1])))


if __name__ == "__main__":
    main()
