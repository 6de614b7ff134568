"""Makes the model goldens: tiny GPT-2, Llama, Qwen2 and Qwen3 models run by PyTorch and transformers in float64.

usage: python make_models.py [MODEL ...]        (needs torch, transformers, safetensors, numpy)

Writes, beside this file, a folder a model that transformers loads as it is (config.json, model.safetensors) with
  golden.safetensors  tokens (10, B, T+1) i32: batch of step s is tokens[s, :, :-1], its targets tokens[s, :, 1:]
                      logits (B, T, V) and grad.NAME: first batch, before clipping, rounded from float64 to float32
                      accum.tokens (4, 3, B, T+1), accum.weights (4, 3, B, T): four steps of three micro-batches
  golden.json         versions and command; ten losses (each before its update) and gradient norms (before clipping);
                      the same for the accumulated steps, whose loss is sum(weight * loss) / sum(weight) over all
                      three micro-batches; and how far the same run in float32 is from the float64 one.
Weights, biases and norm gains are all random, large enough that a missing term shows and that clipping acts.
"""
import json
import math
import pathlib
import platform
import sys

import numpy
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

HERE = pathlib.Path(__file__).resolve().parent
B, T, STEPS, ACCUM_STEPS, MICRO_BATCHES = 3, 19, 10, 4, 3
LR, BETAS, EPS, DECAY, CLIP = 1e-3, (0.9, 0.95), 1e-8, 0.1, 1.0

GPT = dict(vocab_size=131, n_positions=24, n_embd=24, n_layer=2, n_head=4, resid_pdrop=0.0, embd_pdrop=0.0,
           attn_pdrop=0.0, bos_token_id=0, eos_token_id=0)
LLAMA = dict(vocab_size=133, max_position_embeddings=128, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, bos_token_id=0, eos_token_id=0)
LLAMA3_ROPE = dict(rope_type="llama3", rope_theta=100.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                   original_max_position_embeddings=64)
MODELS = {
    "gpt2_tied": lambda: GPT2LMHeadModel(GPT2Config(**GPT)),
    "gpt2_untied": lambda: GPT2LMHeadModel(GPT2Config(**GPT, tie_word_embeddings=False)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(
        **LLAMA, hidden_size=32, intermediate_size=44, tie_word_embeddings=False, rope_parameters=LLAMA3_ROPE)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(
        **LLAMA, hidden_size=24, intermediate_size=52, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="default", rope_theta=10000.0))),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(
        **LLAMA, hidden_size=28, head_dim=10, intermediate_size=44, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="default", rope_theta=1000.0))),
}


def randomise(model, generator):
    """Every parameter random: matrices of variance 1/fan_in, embeddings 0.3, gains about 1, biases about 0."""
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if p.dim() == 2:
            embedding = any(part in name for part in ("wte", "wpe", "embed_tokens"))
            fan_in = p.shape[0] if name.startswith("transformer.h.") else p.shape[1]  # GPT-2's Conv1D is (in, out)
            p.data = noise * (0.3 if embedding else 1 / math.sqrt(fan_in))
        else:
            p.data = noise * 0.2 + (0.0 if name.endswith("bias") else 1.0)


def rope_frequencies(config):
    """The inverse frequencies in float64, with Llama 3's scaling (transformers computes them in float32)."""
    rope = config.rope_parameters
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    freq = rope["rope_theta"] ** -(torch.arange(0, head, 2, dtype=torch.float64) / head)
    if rope["rope_type"] == "llama3":
        turns = rope["original_max_position_embeddings"] * freq / (2 * math.pi)
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        smooth = ((turns - low) / (high - low)).clamp(0, 1)
        freq = (1 - smooth) * freq / rope["factor"] + smooth * freq
    return freq


def make_exact(model):
    """Replaces what transformers computes in float32 whatever the model's dtype: RoPE angles and RMSNorm."""
    for name, module in model.named_modules():
        kind = type(module).__name__
        if kind.endswith("RMSNorm"):
            module.forward = lambda x, m=module: m.weight * x * (x.square().mean(-1, True) + m.variance_epsilon).rsqrt()
        elif kind.endswith("RotaryEmbedding"):
            freq = rope_frequencies(model.config)
            assert torch.allclose(freq.float(), module.inv_freq.float(), rtol=1e-6), name

            def angles(x, position_ids, freq=freq):
                a = position_ids[..., None].double() * freq
                a = torch.cat((a, a), -1)
                return a.cos(), a.sin()
            module.forward = angles


def run(model, dtype, data):
    """One pass over `data` = (plain steps, accumulated steps) from the model's present weights."""
    initial = {k: v.clone() for k, v in model.state_dict().items()}
    result = {}
    for key, steps in zip(("plain", "accum"), data):
        model.load_state_dict(initial)
        groups = [dict(params=[p for p in model.parameters() if p.dim() >= 2], weight_decay=DECAY),
                  dict(params=[p for p in model.parameters() if p.dim() < 2], weight_decay=0.0)]
        optimizer = torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=EPS)
        losses, norms = [], []
        for tokens, weights in steps:
            optimizer.zero_grad()
            total = 0.0
            for x, w in zip(tokens, weights):
                logits = model(input_ids=x[:, :-1], use_cache=False).logits
                assert logits.dtype == dtype
                each = F.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten(), reduction="none")
                loss = (each * w.flatten().to(dtype)).sum() / weights.sum().to(dtype)
                loss.backward()
                total += loss.item()
            if key == "plain" and not losses:
                result["logits"] = logits.detach().double()
                result["grads"] = {n: p.grad.detach().double().clone() for n, p in model.named_parameters()}
            losses.append(total)
            norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP).item())
            optimizer.step()
        result[key] = dict(loss=losses, grad_norm=norms)
    model.load_state_dict(initial)
    return result


def make_data(vocab, generator):
    tokens = torch.randint(0, vocab, (STEPS, 1, B, T + 1), generator=generator)
    plain = [(t, torch.ones(1, B, T)) for t in tokens]
    tokens = torch.randint(0, vocab, (ACCUM_STEPS, MICRO_BATCHES, B, T + 1), generator=generator)
    keep = torch.tensor([0.9, 0.5, 0.2])[None, :, None, None]  # unequal micro-batches; half of the kept weigh 0.5
    drawn = torch.rand((2, ACCUM_STEPS, MICRO_BATCHES, B, T), generator=generator)
    weights = (drawn[0] < keep).float() * torch.where(drawn[1] < 0.5, 0.5, 1.0)
    return plain, list(zip(tokens, weights))


def relative(a, b):
    return ((a - b).norm() / b.norm()).item()


def f32_error(single, exact):
    """Relative l2 distances, the worst gradient with its name, and the largest relative error of losses and norms."""
    grads = {n: relative(single["grads"][n], g) for n, g in exact["grads"].items()}
    worst = max(grads, key=grads.get)
    error = dict(logits=relative(single["logits"], exact["logits"]), worst_grad=grads[worst], worst_grad_name=worst)
    for key in ("plain", "accum"):
        for what in ("loss", "grad_norm"):
            error[f"{key}_{what}"] = max(abs(a - b) / b for a, b in zip(single[key][what], exact[key][what]))
    return error


def make(name, seed):
    generator = torch.Generator().manual_seed(seed)
    model = MODELS[name]()
    randomise(model, generator)
    model.config.dtype = torch.float32
    data = make_data(model.config.vocab_size, generator)
    folder = HERE / name
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    single = run(model, torch.float32, data)
    model = model.double()
    make_exact(model)
    exact = run(model, torch.float64, data)
    tensors = {"grad." + n: g.float() for n, g in exact["grads"].items()}
    tensors["logits"] = exact["logits"].float()
    tensors["tokens"] = torch.stack([t[0] for t, _ in data[0]]).int()
    tensors["accum.tokens"] = torch.stack([t for t, _ in data[1]]).int()
    tensors["accum.weights"] = torch.stack([w for _, w in data[1]])
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "golden.safetensors")
    golden = dict(
        command=f"python tests/golden/make_models.py {name}", seed=seed,
        versions=dict(python=platform.python_version(), torch=torch.__version__,
                      transformers=transformers.__version__, numpy=numpy.__version__),
        optimizer=dict(lr=LR, beta1=BETAS[0], beta2=BETAS[1], eps=EPS, weight_decay=DECAY, clip=CLIP),
        plain=exact["plain"], accum=exact["accum"], f32_error=f32_error(single, exact))
    (folder / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")
    for f in folder.iterdir():
        f.chmod(0o644)
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(name, f"{size} bytes", json.dumps(golden["f32_error"]))


def main():
    names = list(MODELS)
    for name in sys.argv[1:] or names:
        make(name, seed=1000 + names.index(name))


if __name__ == "__main__":
    main()
