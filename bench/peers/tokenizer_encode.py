#!/usr/bin/env python3
"""Encodes a text with tiktoken or Hugging Face tokenizers on one thread, with the vocabulary of a folder or, tiktoken
alone, of a rank file.

Times are of the processor, which others on the machine disturb least.

    tokenizer_encode.py tiktoken|tokenizers --tokenizer PATH --text FILE [--split NAME] [--stdin]
"""
import argparse
import base64
import json
import os
import pathlib
import time

import driver

PATTERNS = {
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "llama3": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
              r"\s+(?!\S)|\s+",
}
# The possessive spellings of tiktoken's own files are faster and cut alike.
PATTERNS_TIKTOKEN = PATTERNS | {
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|"
              r"\s+(?!\S)|\s",
    "qwen2": PATTERNS["llama3"].replace("{1,3}", ""),
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
             r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
             r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
# Rank files by the name they are published with, and how they split.
RANK_FILES = {"r50k_base": "gpt2", "p50k_base": "gpt2", "gpt2": "gpt2", "cl100k_base": "cl100k", "o200k_base": "o200k",
              "qwen": "qwen2", "tokenizer": "llama3"}


def vocabulary(folder):
    """(token spelling -> id, merges, pattern, whether the text is made NFC)."""
    if (folder / "tokenizer.json").exists():
        root = json.loads((folder / "tokenizer.json").read_text())
        split = root["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
        merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in root["model"]["merges"]]
        return root["model"]["vocab"], merges, split, root["normalizer"] is not None
    lines = (folder / "merges.txt").read_text().splitlines()
    merges = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
    return json.loads((folder / "vocab.json").read_text()), merges, None, False


def ranks_of(vocab):
    """Token bytes -> id, of a byte-level vocabulary by spellings."""
    itself = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in itself]
    byte_of = {chr(b): b for b in itself} | {chr(256 + i): b for i, b in enumerate(others)}
    return {bytes(byte_of[c] for c in token): i for token, i in vocab.items() if token != "<|endoftext|>"}


def tiktoken_step(path, split, text):
    import tiktoken
    import unicodedata
    if path.is_file():
        lines = (line.split() for line in path.read_bytes().splitlines())
        ranks, nfc = {base64.b64decode(token): int(rank) for token, rank in lines}, False
        pattern = PATTERNS_TIKTOKEN[RANK_FILES[path.stem]]
    else:
        vocab, _, pattern, nfc = vocabulary(path)
        ranks = ranks_of(vocab)
    pattern = PATTERNS_TIKTOKEN[split] if split else pattern or PATTERNS_TIKTOKEN["gpt2"]
    encoding = tiktoken.Encoding("bench", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    normalize = (lambda t: unicodedata.normalize("NFC", t)) if nfc and not split else (lambda t: t)
    return tiktoken.__version__, lambda: encoding.encode_ordinary(normalize(text))


def tokenizers_step(folder, split, text):
    import tokenizers
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
    vocab, merges, pattern, nfc = vocabulary(folder)
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    if nfc and not split:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERNS[split] if split else pattern or PATTERNS["gpt2"]), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    return tokenizers.__version__, lambda: tokenizer.encode(text).ids


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library", choices=["tiktoken", "tokenizers"])
    parser.add_argument("--tokenizer", type=pathlib.Path, required=True)
    parser.add_argument("--text", type=pathlib.Path, required=True)
    parser.add_argument("--split", choices=sorted(PATTERNS))
    parser.add_argument("--stdin", action="store_true")
    args = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["RAYON_NUM_THREADS"] = "1"
    make = tiktoken_step if args.library == "tiktoken" else tokenizers_step
    version, step = make(args.tokenizer, args.split, args.text.read_bytes().decode())
    driver.serve(step, {"program": args.library, "version": version}, len(step()), 0, 3, args.stdin, time.process_time)


if __name__ == "__main__":
    main()
