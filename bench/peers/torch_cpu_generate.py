"""Peer of the generation bench: batch 1, greedy, key-value cache; one step = a whole sequence, prompt included.

usage: torch_cpu_generate.py gpt|llama eager|compile|freeze [--steps N] [--warm-up N] [--threads 2] [--stdin]
Prints JSON lines; with --stdin it follows driver.py. eager reads only the filled part of the cache; compile has
fixed shapes (the whole cache under a mask), as torch.compile likes best; freeze also lets inductor pack the weights.
"""
import argparse
import importlib

import torch

import driver
import torch_models
from torch_models import HEAD, HEADS, LAYERS, POSITIONS, VOCAB

PROMPT, NEW = 16, 224


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("family", choices=("gpt", "llama"))
    parser.add_argument("mode", choices=("eager", "compile", "freeze"))
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--stdin", action="store_true")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = torch_models.Model(args.family).eval().requires_grad_(False)
    caches = [tuple(torch.zeros(1, HEADS, POSITIONS, HEAD) for _ in "kv") for _ in range(LAYERS)]
    prompt = torch.randint(0, VOCAB, (1, PROMPT))
    positions = torch.arange(POSITIONS)
    next_token = model.next_token
    if args.mode != "eager":
        if args.mode == "freeze":
            importlib.import_module("torch._inductor.config").freezing = True
        next_token = torch.compile(model.next_token)

    @torch.no_grad()
    def step():
        token = model.next_token(prompt, positions[:PROMPT], caches, PROMPT)
        tokens = [token]
        for at in range(PROMPT, PROMPT + NEW - 1):
            length = at + 1 if args.mode == "eager" else POSITIONS
            token = next_token(token, positions[at:at + 1], caches, length)
            tokens.append(token)
        return torch.cat(tokens, 1).tolist()

    facts = dict(program=f"torch-{args.mode}", version=torch.__version__, workload=f"generate-{args.family}-6x384",
                 threads=args.threads, prompt_tokens=PROMPT)
    driver.serve(step, facts, NEW, args.warm_up, args.steps, args.stdin)


if __name__ == "__main__":
    main()
