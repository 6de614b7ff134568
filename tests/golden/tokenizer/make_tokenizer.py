#!/usr/bin/env python3
"""Makes the goldens of the tokenizer tests with Hugging Face `tokenizers` and `tiktoken`.

    pip install tokenizers==0.23.3 tiktoken==0.14.0
    ./make_tokenizer.py

corpus.txt (kept by hand) -> vocab.json, merges.txt: what Hugging Face's trainer makes of it
                          -> cases.json: texts with their ids, on which both libraries must agree
"""
import json
import pathlib
import random

import tiktoken
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).resolve().parent
PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
VOCAB_SIZE = 640  # with one special token
END = "<|endoftext|>"

CASES = [
    "", " ", "  ", "a", "hello world", "Hello, world!  Two  spaces.   Three   ",
    "it's we'll they've I'd you're isn't I'm", "IT'S WE'LL", "'s't're've'm'll'd", "''s 's ' s", "'stop 'llama 'really",
    "it\u017f \u017f'\u017f '\u017f", "it\u2019s", "a\n\nb\n \n c\t\td", "\r\n\r\nx", "end  \n", "\n", "\n ", " \n",
    "a\u00a0b\u00a0\u00a0c", "\u3000\u3000春眠\u3000不觉晓", "a\u180eb \u180e",
    "a\u200bb\u2028c\u2029 d\u0085e\u001ff\u001c ",
    " \u2003x", "\u2003 x", "x \u2003", "\ufeffbom", "1234567 12,345.67 ½²Ⅳ①", "a1b2 c3 ４５", "x=y+z;//?!",
    "春眠不觉晓，处处闻啼鸟。\n夜来风雨声，花落知多少。", "Łódź Ελλάδα Москва שלום مرحبا नमस्ते สวัสดี 안녕",
    "e\u0301 n\u0303 \u0301", "🙂🙂 🚣‍♀️🏳️‍🌈", "a<|endoftext|>b", "\x00\x01\x7f", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "the oars " * 60, "oars" * 100, "明月" * 80, "!?" * 90, "    " * 50 + "x", "\U00031350\U000323af \u1c89\ua7cb\ua7ce",
]


def random_cases():
    draw = random.Random(20)
    pools = [
        "abcdefghijklmnopqrstuvwxyz'  \n", "'stremvlld ", " \t\n\r\u00a0\u3000\u2003ab", "0123456789., ",
        "the oars rise 春来月", [chr(c) for c in range(1, 0x250)], [chr(c) for c in range(0x250, 0x3000)],
        [chr(c) for c in range(0x3000, 0xD800)],
        [chr(c) for c in range(0xE000, 0x20000)], [chr(c) for c in range(0x20000, 0x110000, 7)],
    ]
    return ["".join(draw.choice(pool) for _ in range(draw.randrange(1, 120))) for pool in pools for _ in range(12)]


def train():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=VOCAB_SIZE - 1, min_frequency=1, special_tokens=[], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([(HERE / "corpus.txt").read_text()], trainer)
    tokenizer.model.save(str(HERE))
    vocab = json.loads((HERE / "vocab.json").read_text())
    vocab[END] = len(vocab)
    (HERE / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False) + "\n")
    return tokenizer


def tiktoken_encoding(vocab):
    itself = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in itself]
    byte_of = {chr(b): b for b in itself} | {chr(256 + i): b for i, b in enumerate(others)}
    ranks = {bytes(byte_of[c] for c in token): i for token, i in vocab.items() if token != END}
    return tiktoken.Encoding("small", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={END: vocab[END]})


def main():
    hf = train()
    encoding = tiktoken_encoding(json.loads((HERE / "vocab.json").read_text()))
    cases = []
    for text in CASES + random_cases():
        ids = hf.encode(text).ids
        assert ids == encoding.encode_ordinary(text), text
        cases.append({"text": text, "ids": ids})
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    (HERE / "cases.json").write_text(f"[\n{lines}\n]\n")


main()
