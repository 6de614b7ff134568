#!/usr/bin/env python3
"""Checks both directions between trireme and Hugging Face transformers, with tiny models made on the spot.

usage: check_transformers.py TRIREME        (the program; needs torch, transformers, numpy)

Trained here, read there: a short run of each family; its checkpoint is loaded by AutoModelForCausalLM and
  AutoTokenizer, and the loss over the run's token files in float64 is compared with `trireme eval`.
Made there, read here: save_pretrained of a random model of each family; greedy tokens of `trireme generate` must be
  those of transformers' own generate, with and without a repetition penalty.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch
import torch.nn.functional as F
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2TokenizerFast

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOSS_BOUND = 2e-6  # relative; f32 against f64 through two layers
LENGTH, NEW_TOKENS = 48, 60
GPT2 = dict(n_embd=32, n_layer=2, n_head=4, n_positions=128)
LLAMA = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48,
             max_position_embeddings=128, head_dim=10)
LLAMA3_ROPE = dict(rope_type="llama3", rope_theta=100.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                   original_max_position_embeddings=64)
QWEN_WINDOW = dict(sliding_window=7, use_sliding_window=True, max_window_layers=0)
FAMILIES = {
    "gpt2": dict(model_type="gpt2", **GPT2),
    "gpt2 untied": dict(model_type="gpt2", **GPT2, tie_word_embeddings=False),
    "llama": dict(model_type="llama", **LLAMA, rope_theta=100.0, rope_scaling={**LLAMA3_ROPE}),
    "llama tied, biases": dict(model_type="llama", **LLAMA, attention_bias=True, mlp_bias=True,
                               tie_word_embeddings=True),
    "mistral, no window": dict(model_type="mistral", **LLAMA, sliding_window=None),
    "mistral, window": dict(model_type="mistral", **LLAMA, sliding_window=7),
    "qwen2": dict(model_type="qwen2", **{**LLAMA, "head_dim": 8}),
    "qwen2, window": dict(model_type="qwen2", **{**LLAMA, "head_dim": 8}, **QWEN_WINDOW),
    "qwen3": dict(model_type="qwen3", **LLAMA, tie_word_embeddings=True),
    "qwen3, window": dict(model_type="qwen3", **LLAMA, **QWEN_WINDOW),
}


def trireme(*words, stdin=""):
    done = subprocess.run([sys.argv[1], *map(str, words)], capture_output=True, input=stdin.encode())
    if done.returncode != 0:
        sys.exit(f"trireme {' '.join(map(str, words))}: exit {done.returncode}\n{done.stderr.decode()}")
    return done.stdout


def read_ids(prefix):
    """All ids of Megatron token files: i32 or u16 by the code in the .idx header."""
    code = pathlib.Path(f"{prefix}.idx").read_bytes()[17]
    return numpy.fromfile(f"{prefix}.bin", {4: numpy.int32, 8: numpy.uint16}[code]).astype(numpy.int64)


def eval_loss(model, ids):
    """Mean loss over every id but the first, in windows as `trireme eval` takes them."""
    total = 0.0
    for begin in range(0, len(ids) - 1, LENGTH):
        window = torch.tensor(ids[begin:begin + LENGTH + 1])[None]
        logits = model(window[:, :-1]).logits
        total += F.cross_entropy(logits[0], window[0, 1:], reduction="sum").item()
    return total / (len(ids) - 1)


@torch.no_grad()
def trained_here(name, keys, folder):
    recipe = dict(run=dict(dir=str(folder)), model=keys, tokenizer=dict(vocab_size=400),
                  data=dict(source=str(folder / "license.txt"), document_separator="blank", sequence_length=LENGTH,
                            micro_batch_size=4),
                  train=dict(max_steps=40), optimizer=dict(lr=3e-3), schedule=dict(kind="constant"))
    (folder / "license.txt").write_bytes((ROOT / "LICENSE").read_bytes())
    (folder / "tiny.yaml").write_text(json.dumps(recipe))
    trireme("train", folder / "tiny.yaml")
    checkpoint = max((folder / "checkpoints").iterdir())
    prefix = folder / "data/tokens"
    ours = json.loads(trireme("eval", folder, "--data", prefix, "--sequence-length", LENGTH, "--batch-size", 3,
                              "--json"))
    model, loading = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float64, output_loading_info=True)
    assert not any(loading.values()), loading
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    ids = read_ids(prefix)
    text = "Unless required by applicable law, 春眠不觉晓\n  it's"
    encoded = trireme("tokenizer", "encode", "--tokenizer", checkpoint, "-", stdin=text)
    assert tokenizer(text).input_ids == [int(i) for i in encoded.split()], (tokenizer(text).input_ids, encoded)
    theirs = eval_loss(model.eval(), ids)
    error = abs(ours["loss"] - theirs) / theirs
    print(f"  {name:20} {type(model).__name__:20} targets {ours['targets']:5}  trireme {ours['loss']:.9f}  "
          f"transformers {theirs:.9f}  relative {error:.1e}")
    return error <= LOSS_BOUND and ours["targets"] == len(ids) - 1


@torch.no_grad()
def made_there(name, keys, folder):
    golden = ROOT / "tests/golden/tokenizer"
    tokenizer = GPT2TokenizerFast(vocab=str(golden / "vocab.json"), merges=str(golden / "merges.txt"))
    torch.manual_seed(3)
    config = transformers.AutoConfig.for_model(**keys, vocab_size=len(tokenizer), initializer_range=0.3,
                                               bos_token_id=None, eos_token_id=None, pad_token_id=0)
    model = AutoModelForCausalLM.from_config(config).eval()
    for p in model.parameters():  # biases and gains too
        if p.dim() == 1:
            p.add_(0.2 * torch.randn_like(p))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    good = True
    for prompt in ("The oars", "春眠不觉晓，处处闻啼鸟。"):
        for penalty in (1.0, 1.3):
            ids = tokenizer(prompt, return_tensors="pt").input_ids
            out = model.generate(ids, do_sample=False, max_new_tokens=NEW_TOKENS, repetition_penalty=penalty)[0]
            theirs = out[ids.shape[1]:].tolist()
            row = json.loads(trireme("generate", folder, "--prompt", prompt, "--raw-prompt", "--ignore-eos",
                                     "--temperature", 0, "--max-new-tokens", NEW_TOKENS, "--repetition-penalty",
                                     penalty, "--json"))
            same = row["ids"] == theirs and len(theirs) == NEW_TOKENS
            good &= same
            print(f"  {name:20} {len(ids[0]):3} + {len(theirs)} tokens, {len(set(theirs)):2} kinds, penalty {penalty}: "
                  f"{'equal' if same else 'DIFFERENT'}")
    return good


def main():
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    results = {}
    for check in (trained_here, made_there):
        print(check.__name__.replace("_", " "))
        for name, keys in FAMILIES.items():
            with tempfile.TemporaryDirectory() as folder:
                results[check.__name__, name] = check(name, keys, pathlib.Path(folder))
    bad = [" ".join(key) for key, good in results.items() if not good]
    print(f"{len(results) - len(bad)} of {len(results)} good" + "".join(f"\nBAD: {b}" for b in bad))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
