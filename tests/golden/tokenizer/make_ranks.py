#!/usr/bin/env python3
"""Makes the goldens of rank files with tiktoken: small vocabularies in its own file format, and what it makes of texts.

    pip install tiktoken==0.14.0 regex==2026.11.15
    ./make_ranks.py          writes ranks/*.tiktoken, ranks/tokenizer.model, ranks/own/ and ranks/cases.json

The ranks come from merges of corpus.txt, then tokens drawn at random from it at random ranks: such a token may be cut in
many ways, and parts of it may have higher ranks than it has.
"""
import base64
import collections
import json
import pathlib
import random
import unicodedata

import regex
import tiktoken

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE / "ranks"
CORPUS = (HERE / "corpus.txt").read_text()
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
          r"\s+(?!\S)|\s+")
END = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
PATTERNS = {
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
    "llama3": LLAMA3,
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|"
              r"\s+(?!\S)|\s",
    "qwen2": LLAMA3.replace("{1,3}", ""),
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + END
             + r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + END
             + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "words": r"[A-Za-z]+|[^A-Za-z\s]+",  # not known by name; drops white space
}
EOT = "<|endoftext|>"
LLAMA3_SPECIAL = (["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>",
                   "<|finetune_right_pad_id|>", "<|reserved_special_token_2|>", "<|start_header_id|>", "<|end_header_id|>",
                   "<|eom_id|>", "<|eot_id|>", "<|python_tag|>"] + [f"<|reserved_special_token_{i}|>" for i in range(3, 248)])
QWEN_SPECIAL = [EOT, "<|im_start|>", "<|im_end|>"] + [f"<|extra_{i}|>" for i in range(205)]
# file -> pattern, special tokens (those published with a file of this name), and what is said beside it
FILES = {
    "r50k_base.tiktoken": ("gpt2", {EOT: 50256}),
    "cl100k_base.tiktoken": ("cl100k", {EOT: 100257, "<|fim_prefix|>": 100258, "<|fim_middle|>": 100259,
                                        "<|fim_suffix|>": 100260, "<|endofprompt|>": 100276}),
    "o200k_base.tiktoken": ("o200k", {EOT: 199999, "<|endofprompt|>": 200018}),
    "qwen.tiktoken": ("qwen2", QWEN_SPECIAL),
    "tokenizer.model": ("llama3", LLAMA3_SPECIAL),
    "own/any.tiktoken": ("words", {"<end>": 760}),
}
TEXTS = ["", " ", "the oars rise", "It's we'LL they'VE 12345 67", "春眠不觉晓，处处闻啼鸟。\n夜来风雨声", "a<|endoftext|>b<|eot_id|>",
         "<|im_start|>user\nhi<|im_end|>", "  two  spaces\r\n\r\n x \t", "camelCaseHTTPServer//\n", "é e\u0301 ﬁ 🙂🚣", "x" * 200,
         "oars" * 60, " the sun" * 30, "<end>a<end>"]


def texts(seed):
    draw = random.Random(seed)
    pools = ["the oars rise and fall ", "abcdefgh '", " \t\r\n.,;a1", "春眠不觉晓处处闻啼鸟花落知多少，。", CORPUS]
    return TEXTS + ["".join(draw.choice(pool) for _ in range(draw.randrange(1, 50))) for pool in pools for _ in range(6)]


def ranks(seed, pattern, merges=250, wild=250):
    """Merges by count within the pattern's pieces, then tokens at random, all shuffled into ranks behind the bytes."""
    words = collections.Counter(tuple(bytes([b]) for b in piece.encode()) for piece in regex.findall(pattern, CORPUS))
    tokens = [bytes([b]) for b in range(256)]
    for _ in range(merges):
        pairs = collections.Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        tokens.append(best[0] + best[1])
        merged = collections.Counter()
        for word, count in words.items():
            out, i = [], 0
            while i < len(word):
                out.append(word[i] + word[i + 1] if word[i:i + 2] == best else word[i])
                i += 2 if word[i:i + 2] == best else 1
            merged[tuple(out)] += count
        words = merged
    draw, data = random.Random(seed), CORPUS.encode()
    known = set(tokens)
    while len(tokens) < 256 + merges + wild:
        begin = draw.randrange(len(data))
        token = data[begin:begin + draw.randrange(2, 9)]
        if len(token) > 1 and token not in known:
            known.add(token)
            tokens.insert(draw.randrange(257, len(tokens) + 1), token)
    return {token: rank for rank, token in enumerate(tokens)}


def main():
    (OUT / "own").mkdir(parents=True, exist_ok=True)
    config = {"pat_str": PATTERNS["words"], "added_tokens_decoder": {"760": {"content": "<end>", "special": True}},
              "eos_token": "<end>"}
    (OUT / "own/tokenizer_config.json").write_text(json.dumps(config) + "\n")
    golden = {}
    for seed, (name, (pattern, special)) in enumerate(FILES.items()):
        table = ranks(seed, PATTERNS[pattern])
        if isinstance(special, list):
            special = {text: len(table) + i for i, text in enumerate(special)}
        (OUT / name).write_text("".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in table.items()))
        encoding = tiktoken.Encoding(name, pat_str=PATTERNS[pattern], mergeable_ranks=table, special_tokens=special)
        cases = []
        for text in texts(seed):
            read = unicodedata.normalize("NFC", text) if pattern == "qwen2" else text  # as its tokenizer does first
            ids = encoding.encode_ordinary(read)
            case = {"text": text, "ids": ids}
            with_special = encoding.encode(read, allowed_special="all")
            if with_special != ids:
                case["special"] = with_special
            cases.append(case)
        golden[name] = {"pattern": PATTERNS[pattern], "vocab_size": encoding.n_vocab, "cases": cases}
    rows = [f'"{name}":{{"pattern":{json.dumps(entry["pattern"])},"vocab_size":{entry["vocab_size"]},"cases":[\n'
            + ",\n".join(json.dumps(case, separators=(",", ":"), ensure_ascii=False) for case in entry["cases"]) + "]}"
            for name, entry in golden.items()]
    (OUT / "cases.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")
    print(sum(len(entry["cases"]) for entry in golden.values()), "texts")


if __name__ == "__main__":
    main()
