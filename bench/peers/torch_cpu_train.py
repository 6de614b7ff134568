"""Peer of the training bench: one float32 step = forward, backward, clip to norm 1, AdamW.

usage: torch_cpu_train.py gpt|llama eager|compile|autotune [--steps N] [--warm-up N] [--threads 2] [--stdin]
Prints JSON lines; with --stdin it follows driver.py, so that a bench can alternate with it in one run.
autotune is torch.compile(mode="max-autotune"): inductor may replace MKL's products with its own.
"""
import argparse

import torch

import driver
import torch_models

BATCH = 8


def optimizer_of(model):
    groups = [dict(params=[p for p in model.parameters() if p.dim() >= 2], weight_decay=0.1),
              dict(params=[p for p in model.parameters() if p.dim() < 2], weight_decay=0.0)]
    fastest = dict(fused=True) if torch.__version__ >= "2.4" else dict(foreach=True)  # fused on CPU came with 2.4
    return torch.optim.AdamW(groups, lr=3e-4, betas=(0.9, 0.95), eps=1e-8, **fastest)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("family", choices=("gpt", "llama"))
    parser.add_argument("mode", choices=("eager", "compile", "autotune"))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warm-up", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--stdin", action="store_true")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = torch_models.Model(args.family)
    optimizer = optimizer_of(model)
    loss_of = model
    if args.mode != "eager":
        loss_of = torch.compile(model, mode="max-autotune" if args.mode == "autotune" else "default")
    batches = [torch.randint(0, torch_models.VOCAB, (BATCH, torch_models.POSITIONS + 1)) for _ in range(8)]
    done = 0

    def step():
        nonlocal done
        batch = batches[done % len(batches)]
        done += 1
        loss = loss_of(batch[:, :-1], batch[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    facts = dict(program=f"torch-{args.mode}", version=torch.__version__, workload=f"train-{args.family}-6x384",
                 threads=args.threads)
    driver.serve(step, facts, BATCH * torch_models.POSITIONS, args.warm_up, args.steps, args.stdin)


if __name__ == "__main__":
    main()
