#!/usr/bin/env python3
"""Makes shared.json: number and XXH3 of the ids that the originals give for every text file of ../shared/data, by tokenizer.

    pip install tokenizers==0.23.3 tiktoken==0.14.0 sentencepiece==0.2.3 jieba==0.42.1 pytrie numpy xxhash
    ./make_shared.py SHARED BEE NINE_G       SHARED: the folder with data and tokenizers; BEE, NINE_G: see make_cpm.py

The tokenizers are those of SHARED/tokenizers and the goldens beside this script. The files are not committed. Those above
4 MB are left out for originals that would take hours; CPM's take them line by line, for the same reason.
"""
import base64
import io
import json
import logging
import pathlib
import sys
import types
import unicodedata

import jieba
import jieba.finalseg
import numpy
import sentencepiece
import tiktoken
import xxhash
from tokenizers import Tokenizer

import make_cpm
import make_ranks

HERE = pathlib.Path(__file__).resolve().parent
LARGE = 4 << 20


def gpt2(folder):
    vocab = json.loads((folder / "vocab.json").read_text())
    itself = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    byte_of = {chr(b): b for b in itself} | {chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in itself)}
    ranks = {bytes(byte_of[c] for c in token): i for token, i in vocab.items() if token != make_ranks.EOT}
    return tiktoken.Encoding("gpt2", pat_str=make_ranks.PATTERNS["gpt2"], mergeable_ranks=ranks, special_tokens={}).encode_ordinary


def rank_file(name, pattern):
    lines = (HERE / "ranks" / name).read_bytes().splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines)}
    made = tiktoken.Encoding(name, pat_str=make_ranks.PATTERNS[pattern], mergeable_ranks=ranks, special_tokens={})
    return lambda text: made.encode_ordinary(unicodedata.normalize("NFC", text) if pattern == "qwen2" else text)


def hugging_face(tokenizer, plain):
    tokenizer.encode_special_tokens = plain
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def jieba_bpe():
    jieba.setLogLevel(logging.ERROR)
    for name in ("start", "trans", "emit"):
        scope = {}
        exec((HERE / f"jieba/prob_{name}.py").read_text(), scope)
        setattr(jieba.finalseg, f"{name}_P", scope["P"])
    cut = jieba.Tokenizer(str(HERE / "jieba/dict.txt")).cut
    bpe = Tokenizer.from_file(str(HERE / "jieba/tokenizer.json"))
    bpe.encode_special_tokens = True
    return lambda text: bpe.encode(list(cut(text)), is_pretokenized=True, add_special_tokens=False).ids


def cpm(bee, nine_g):
    """CPM-Bee's ids for text without special tokens: unknown runs are its <unk>."""
    vocabulary = (HERE / "cpm/bee/vocab.txt").read_bytes()
    resources = types.SimpleNamespace(resource_stream=lambda *_: io.BytesIO(vocabulary))
    one = make_cpm.load(bee, pkg_resources=resources)["CPMBeeTokenizer"]()
    other = make_cpm.load(nine_g)["CPM9GTokenizer"](str(HERE / "cpm/nine_g/vocabs.txt"))
    unk = one.encoder["<unk>"]
    return {"cpm/bee": lambda text: [t if t < one.vocab_size else unk for line in text.split("\n") for t in one.encode(one.escape(line))[0]],
            "cpm/nine_g": lambda text: [t for line in text.split("\n") for t in other.encode(line, with_bos=False)]}


def main():
    shared, bee, nine_g = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    makers = {"tokenizers/gpt2": gpt2(shared / "tokenizers/gpt2"),
              "tokenizers/qwen3": hugging_face(Tokenizer.from_file(str(shared / "tokenizers/qwen3/tokenizer.json")), True)}
    for name, (pattern, _) in make_ranks.FILES.items():
        makers[f"ranks/{name}"] = rank_file(name, pattern)
    for model in sorted((HERE / "sentencepiece").glob("*/tokenizer.model")):
        makers[f"sentencepiece/{model.parent.name}"] = sentencepiece.SentencePieceProcessor(model_file=str(model)).encode
    fast = set(makers)
    for entry in json.loads((HERE / "unigram.json").read_text())["tokenizers"]:
        makers[f"unigram: {entry['name']}"] = hugging_face(Tokenizer.from_str(json.dumps(entry["tokenizer"])), False)
    makers["jieba"] = jieba_bpe()
    makers |= cpm(bee, nine_g)

    files = sorted(path for path in (shared / "data").rglob("*") if path.is_file())
    golden = {}
    for name, encode in makers.items():
        golden[name] = {}
        for path in files:
            if path.stat().st_size > LARGE and name not in fast:
                continue
            ids = numpy.array(encode(path.read_bytes().decode()), dtype="<i4")
            golden[name][str(path.relative_to(shared))] = [len(ids), xxhash.xxh3_64_hexdigest(ids.tobytes())]
        print(f"{name}: {len(golden[name])} files, {sum(count for count, _ in golden[name].values())} ids", flush=True)
    rows = [f'"{name}":{{\n' + ",\n".join(f' "{file}":[{count},"{h}"]' for file, (count, h) in entry.items()) + "}"
            for name, entry in golden.items()]
    (HERE / "shared.json").write_text("{\n" + ",\n".join(rows) + "}\n")


main()
