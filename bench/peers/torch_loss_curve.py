"""Peer of tools/loss_curves: trains a GPT-2 from Trireme's weights, on samples in Trireme's order, and notes losses.

usage: torch_loss_curve.py SETTINGS WEIGHTS SAMPLES OUT
SETTINGS  settings.json of tools/loss_curves: keys of a recipe
WEIGHTS   folder with config.json and model.safetensors under Hugging Face's names
SAMPLES   text, a line of T + 1 ids a sample; step s takes the lines from s * B on
OUT       JSON lines: step, loss, lr, grad_norm (before clipping)
bfloat16 is autocast over float32 parameters. precision.linear_dtype=float8 rounds what the linear layers of blocks
multiply to 8-bit floats and multiplies those as bfloat16, which holds them exactly. On a GPU all is compiled.
"""
import json
import math
import pathlib
import sys

import numpy
import torch

import torch_gpu_models

DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


def read_safetensors(path):
    """All tensors of a file, as float32."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    body = memoryview(bytearray(data[8 + size:]))
    tensors = {}
    for name, t in header.items():
        values = torch.frombuffer(body[slice(*t["data_offsets"])], dtype=DTYPES[t["dtype"]])
        tensors[name] = values.reshape(t["shape"]).float()
    return tensors


def load_gpt2(folder, length):
    """The model of `folder`; the rows that pad its vocabulary to a multiple of 64 are zero and get no gradient."""
    config = json.loads((folder / "config.json").read_text())
    words, hidden = config["vocab_size"], config["n_embd"]
    inner = config.get("n_inner") or 4 * hidden
    shape = (config["n_layer"], hidden, config["n_head"], config["n_head"], inner, -(-words // 64) * 64, "gpt")
    model = torch_gpu_models.Model(shape, length, words)
    theirs = read_safetensors(folder / "model.safetensors")
    ours = {"positions.weight": theirs["transformer.wpe.weight"][:length],
            "tokens.weight": torch.zeros(shape[5], hidden),
            "norm.weight": theirs["transformer.ln_f.weight"], "norm.bias": theirs["transformer.ln_f.bias"]}
    ours["tokens.weight"][:words] = theirs["transformer.wte.weight"]
    ours["head.weight"] = ours["tokens.weight"]
    names = {"norm1": "ln_1", "norm2": "ln_2", "attention.qkv": "attn.c_attn", "attention.out": "attn.c_proj",
             "up": "mlp.c_fc", "down": "mlp.c_proj"}
    for layer in range(config["n_layer"]):
        for our_name, their_name in names.items():
            for part in ("weight", "bias"):
                value = theirs[f"transformer.h.{layer}.{their_name}.{part}"]
                ours[f"blocks.{layer}.{our_name}.{part}"] = value.T if value.dim() > 1 else value
    model.load_state_dict(ours)
    return model


def round8(x, dtype):
    """x as codes, in bfloat16, and their scale: the largest magnitude becomes the format's largest value."""
    x = x.bfloat16()
    scale = x.abs().amax().float().clamp(min=1e-30) / torch.finfo(dtype).max
    return (x.float() / scale).to(dtype).bfloat16(), scale


class Product8(torch.autograd.Function):
    """x W^T: values as e4m3, gradients as e5m2, each tensor with a scale of its own."""

    @staticmethod
    def forward(ctx, x, weight):
        (x8, x_scale), (w8, w_scale) = round8(x, torch.float8_e4m3fn), round8(weight, torch.float8_e4m3fn)
        ctx.save_for_backward(x8, x_scale, w8, w_scale)
        return ((x8 @ w8.T).float() * (x_scale * w_scale)).bfloat16()

    @staticmethod
    def backward(ctx, dy):
        x8, x_scale, w8, w_scale = ctx.saved_tensors
        dy8, dy_scale = round8(dy, torch.float8_e5m2)
        return ((dy8 @ w8).float() * (dy_scale * w_scale)).bfloat16(), (dy8.T @ x8).float() * (dy_scale * x_scale)


class Linear8(torch.nn.Module):
    def __init__(self, linear):
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x):
        y = Product8.apply(x.flatten(0, -2).bfloat16(), self.weight)
        return (y + self.bias.bfloat16()).unflatten(0, x.shape[:-1])


def use_float8(model):
    for block in model.blocks:
        block.up, block.down = Linear8(block.up), Linear8(block.down)
        block.attention.qkv, block.attention.out = Linear8(block.attention.qkv), Linear8(block.attention.out)


def learning_rate(s, step):
    """Linear warm-up, then half a cosine wave down to schedule.min_lr; steps count from 0."""
    peak, low, warmup = s["optimizer.lr"], s["schedule.min_lr"], s["schedule.warmup"]
    if step < warmup:
        return peak * (step + 1) / warmup
    return low + (peak - low) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (s["train.max_steps"] - warmup)))


def main():
    settings = json.loads(pathlib.Path(sys.argv[1]).read_text())
    device = settings["device"]
    batch, length, steps = (settings[k] for k in ("data.global_batch_size", "data.sequence_length", "train.max_steps"))
    low_precision = settings["precision.param_dtype"] == "bfloat16"
    model = load_gpt2(pathlib.Path(sys.argv[2]), length).to(device)
    if settings.get("precision.linear_dtype") == "float8":
        use_float8(model)
    loss_of = torch.compile(model) if device == "cuda" else model
    ids = numpy.fromstring(pathlib.Path(sys.argv[3]).read_text(), dtype=numpy.int32, sep=" ")
    samples = torch.from_numpy(ids.reshape(-1, length + 1)).to(device)

    parameters = list(model.parameters())
    groups = [{"params": [p for p in parameters if p.dim() > 1], "weight_decay": settings["optimizer.weight_decay"]},
              {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=settings["optimizer.betas"], eps=settings["optimizer.eps"],
                                  fused=device == "cuda")
    rows = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, step)
        tokens = samples[step * batch:(step + 1) * batch].long()
        with torch.autocast(device, torch.bfloat16, enabled=low_precision):
            loss = loss_of(tokens[:, :-1], tokens[:, 1:].contiguous())
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, settings["optimizer.clip_grad_norm"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        rows.append((loss.detach(), norm))
    with open(sys.argv[4], "w", encoding="utf-8") as out:
        for step, (loss, norm) in enumerate(rows):
            row = {"step": step + 1, "loss": loss.item(), "lr": learning_rate(settings, step), "grad_norm": norm.item()}
            out.write(json.dumps(row) + "\n")
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    print(json.dumps({"version": torch.__version__, "device": name}))


if __name__ == "__main__":
    main()
