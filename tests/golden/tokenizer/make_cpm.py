#!/usr/bin/env python3
"""Makes the goldens of CPM's vocabularies with the originals: small vocabularies of corpus.txt, and what they make of texts.

    pip install pytrie
    ./make_cpm.py BEE NINE_G      writes cpm/bee/vocab.txt, cpm/nine_g/vocabs.txt and cpm/cases.json

BEE is bee.py of OpenBMB's CPM-Bee (src/cpm_live/tokenizers/bee.py), NINE_G any file with the class CPM9GTokenizer, as
CPM-9G's own package and InfiniTensor's programs for it have. Of these files the classes and functions are run, not
their other imports.

CPM-Bee gives unknown runs and special tokens that its vocabulary lacks new ids behind it, here written as -1.
"""
import ast
import io
import json
import pathlib
import random
import sys
import types

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE / "cpm"
CORPUS = (HERE / "corpus.txt").read_text()
TEXTS = ["", " ", "the oars rise", "  two  spaces \n\n", "春眠不觉晓，处处闻啼鸟。", "<mask>", "a<b", "a<<b", "<<mask>", "a<mask>b<mask_0>c",
         "<s>the oars</s>", "<<<s>", "x > y", ">", "ζζζ", "ζ<mask>ζ", "<ζ>", "<<<<", "a<", "<a<b>", "<", "<用户>春<AI>", "🙂é\u0301", "<0x41>",
         "</n></_>", "<unk>", "\"quoted\" \\ back", "\t\ttab"]


def load(path, **modules):
    """The classes and functions of a file, with its imports of what is here."""
    tree = ast.parse(pathlib.Path(path).read_text())
    scope = {"__name__": "original", **modules}
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            name = node.names[0].name if isinstance(node, ast.Import) else node.module
            if name not in ("io", "json", "re", "os", "typing", "pytrie"):
                continue
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            if getattr(node, "bases", None) and ast.unparse(node.bases[0]) != "object":
                continue
        else:
            continue
        exec(compile(ast.Module([node], []), str(path), "exec"), scope)
    return scope


def words():
    """Runs of the corpus of up to eight characters, some within others."""
    draw = random.Random(4)
    out = sorted(set(CORPUS))
    while len(out) < 600:
        begin = draw.randrange(len(CORPUS))
        word = CORPUS[begin:begin + draw.randrange(2, 9)]
        if word not in out and "\n" not in word and "\r" not in word:
            out.append(word)
    return [word for word in out if word not in " \n"]


def texts():
    draw = random.Random(6)
    pools = ["the oars rise ", "ab<>c <mask>", "春眠不觉晓闻啼鸟，", "a<<b>ζ \n", CORPUS]
    return TEXTS + ["".join(draw.choice(pool) for _ in range(draw.randrange(1, 50))) for pool in pools for _ in range(12)]


def bee(path):
    special = ["<pad>", "<unk>", "<s>", "</s>", "<mask>", "<mask_0>", "</n>", "</_>"]
    vocabulary = [token for token in words() if token.strip() == token] + ["<", ">", "<<"]
    vocabulary = special + [token for k, token in enumerate(vocabulary) if token not in vocabulary[:k]]
    (OUT / "bee").mkdir(parents=True, exist_ok=True)
    (OUT / "bee/vocab.txt").write_text("\n".join(vocabulary) + "\n")
    resources = types.SimpleNamespace(resource_stream=lambda *_: io.BytesIO((OUT / "bee/vocab.txt").read_bytes()))
    made = load(path, pkg_resources=resources)["CPMBeeTokenizer"]()
    for text in texts():
        plain = [token if token < made.vocab_size else -1 for token in made.encode(made.escape(text))[0]]
        case = {"text": text, "ids": plain}
        try:
            tokens = made.tokenize(text)
            if all(token.token in made.encoder for token in tokens if token.is_special):
                case["special"] = [token if token < made.vocab_size else -1 for token in made.encode(text)[0]]
            else:
                case["fails"] = "unknown"
        except ValueError:
            case["fails"] = "malformed"
        yield case


def nine_g(path):
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    vocabulary = special + ["\n", " ", "<用户>", "<AI>", "\"", "\\", "<"] + words()
    vocabulary = [token for k, token in enumerate(vocabulary) if token not in vocabulary[:k]]
    (OUT / "nine_g").mkdir(parents=True, exist_ok=True)
    (OUT / "nine_g/vocabs.txt").write_text("".join(json.dumps(token, ensure_ascii=k % 2 == 0) + "\n" for k, token in enumerate(vocabulary)))
    made = load(path)["CPM9GTokenizer"](str(OUT / "nine_g/vocabs.txt"))
    for text in texts():
        ids = made.encode(text, with_bos=False)
        yield {"text": text, "ids": ids, "decoded": made.decode(ids)}


def main():
    golden = {"bee": list(bee(sys.argv[1])), "nine_g": list(nine_g(sys.argv[2]))}
    rows = [f'"{name}":[\n' + ",\n".join(json.dumps(case, separators=(",", ":"), ensure_ascii=False) for case in cases) + "]"
            for name, cases in golden.items()]
    (OUT / "cases.json").write_text("{" + ",\n".join(rows) + "}\n")
    print({name: len(cases) for name, cases in golden.items()})


if __name__ == "__main__":
    main()
