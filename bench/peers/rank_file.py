#!/usr/bin/env python3
"""Writes the vocabulary of a byte-level tokenizer's folder as a rank file, the format of tiktoken.

    rank_file.py FOLDER FILE

GPT-2's becomes r50k_base.tiktoken, Qwen's qwen.tiktoken, as they are published; the names tell how to split.
"""
import base64
import pathlib
import sys

from tokenizer_encode import ranks_of, vocabulary


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    ranks = ranks_of(vocabulary(pathlib.Path(sys.argv[1]))[0])
    lines = (base64.b64encode(token) + b" %d\n" % rank for token, rank in sorted(ranks.items(), key=lambda item: item[1]))
    pathlib.Path(sys.argv[2]).write_bytes(b"".join(lines))


main()
