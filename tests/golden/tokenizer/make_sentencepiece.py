#!/usr/bin/env python3
"""Makes the SentencePiece goldens: small models of corpus.txt, and what the original makes of texts with them.

    pip install sentencepiece==0.2.3 transformers==4.46.3 protobuf
    ./make_sentencepiece.py                          writes sentencepiece/*/tokenizer.model and sentencepiece/cases.json
    ./make_sentencepiece.py --compare TRIREME DATA   trains larger models on files of the folder DATA, encodes all of its
                                                     files with them and with the program, and counts; writes nothing

Texts are bytes, spelled in hexadecimal: they need not be UTF-8. The cases called llama come from the slow
LlamaTokenizer of transformers, which splits a text at added tokens.
"""
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE / "sentencepiece"
SPACE = "\u2581"
# Characters -> characters, in hexadecimal: longest match, from and to several, to nothing, to a space.
RULES = ["3000\t20", "9\t20", "A\t20", "a0\t20", "65 301\te9", "66 69\tfb01", "ff21\t41", "200b\t", "2026\t2e 2e 2e",
         "33 38 34 35\t20 58 20", "33 38\t58"]
MODELS = {
    "bpe_bytes": {"model_type": "bpe", "vocab_size": 620, "byte_fallback": True, "split_digits": True,
                  "normalization_rule_name": "identity", "remove_extra_whitespaces": False,
                  "allow_whitespace_only_pieces": True},
    "bpe_rules": {"model_type": "bpe", "vocab_size": 380, "user_defined_symbols": ["<sep>", "oar", "oars", "春眠"],
                  "control_symbols": ["<ctl>"]},
    "unigram_rules": {"model_type": "unigram", "vocab_size": 380, "user_defined_symbols": ["<sep>", "oar", "oars", "春眠"],
                      "control_symbols": ["<ctl>"]},
    "unigram_suffix": {"model_type": "unigram", "vocab_size": 640, "byte_fallback": True,
                       "normalization_rule_name": "identity", "treat_whitespace_as_suffix": True, "pad_id": 3},
    "unigram_no_prefix": {"model_type": "unigram", "vocab_size": 360, "normalization_rule_name": "identity",
                          "add_dummy_prefix": False, "split_by_whitespace": False},
}
TEXTS = ["", " ", "   ", "the oars", " the  oars ", "The harbour wakes before the sun does.", "oar oars oarso <sep>x<sep>",
         "<s>a</s> <unk> <ctl> <0x41>", f"{SPACE}the{SPACE}{SPACE}sun", "a\nb\t\tc\u3000d\u00a0 e", "e\u0301 fi ff \uff21 384538 38",
         "a\u200b b \u200b", "\u200b", "春眠不觉晓，处处闻啼鸟。", "我春眠你", "🙂🚣\u200d♀️", "12,345.67", "\u0000a\u0001", "  ", "\ufeffx\ufffd",
         "aaaaaaaaaaaaaaaaaaaaaaaa", "the sun " * 40, "oarsoars" * 30, "明月" * 80]
LLAMA = ["a b", "<s>a b</s>", " <s> a</s> b ", "Hi <pad> there<pad>.", "<pad>", "a<s>", "  <s>", "<|x|> the oars<|x|>the oars",
         "the</s>the", ""]


def texts():
    draw = random.Random(5)
    pools = ["the oars rise ", "abcdefghij,. ", " \t\n\u3000", "春眠不觉晓闻啼鸟", "efi\u0301\u200b\uff21345 ", "<sep>oars<s> ",
             [chr(c) for c in range(1, 0x3000)], [chr(c) for c in range(0x3000, 0xD800)]]
    out = [text.encode() for text in TEXTS]
    for pool in pools:
        out += ["".join(draw.choice(pool) for _ in range(draw.randrange(1, 40))).encode() for _ in range(4)]
    out += [bytes(draw.randrange(256) for _ in range(draw.randrange(1, 40))) for _ in range(12)]
    return out + [(HERE / "corpus.txt").read_bytes()]


def as_bytes(text):
    return text if isinstance(text, bytes) else text.encode()


def train(name, corpus, folder, **options):
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        rules = pathlib.Path(temporary) / "rules.tsv"
        rules.write_text("".join(rule + "\n" for rule in RULES))
        if "normalization_rule_name" not in options:
            options["normalization_rule_tsv"] = str(rules)
        prefix = f"{temporary}/{name}"
        sentencepiece.SentencePieceTrainer.train(input=str(corpus), model_prefix=prefix, num_threads=1, minloglevel=2,
                                                 hard_vocab_limit=False, max_sentence_length=100000, **options)
        model = sentencepiece_model_pb2.ModelProto.FromString(pathlib.Path(prefix + ".model").read_bytes())
    model.trainer_spec.input[:] = ["corpus.txt"]
    model.trainer_spec.model_prefix = name
    model.normalizer_spec.ClearField("normalization_rule_tsv")
    (folder / "tokenizer.model").write_bytes(model.SerializeToString())
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))


def cases_of(processor):
    for text in texts():
        ids = processor.encode(text)
        yield {"text": text.hex(), "ids": ids, "decoded": as_bytes(processor.decode(ids)).hex()}


def llama_cases():
    from transformers import LlamaTokenizer
    from transformers.tokenization_utils_base import AddedToken
    out = []
    model = OUT / "bpe_bytes" / "tokenizer.model"
    size = sentencepiece.SentencePieceProcessor(model_file=str(model)).get_piece_size()
    added = {str(size): "<pad>", str(size + 1): "<|x|>"}
    for legacy in [True, False]:
        tokenizer = LlamaTokenizer(str(model), legacy=legacy)
        tokenizer.add_special_tokens({"pad_token": "<pad>"})
        tokenizer.add_tokens([AddedToken("<|x|>", normalized=False, special=True)], special_tokens=True)
        assert all(tokenizer.convert_tokens_to_ids(text) == int(token) for token, text in added.items())
        for text in LLAMA:
            out.append({"legacy": legacy, "text": text.encode().hex(),
                        "ids": tokenizer.encode(text, add_special_tokens=False)})
    return {"added": added, "cases": out}


def compare(program, data):
    """Trains on a part of the data, then encodes every file of it as one text."""
    files = sorted(path for path in data.rglob("*") if path.is_file() and path.suffix in (".txt", ".json", ".jsonl", ".csv"))
    with tempfile.TemporaryDirectory() as temporary:
        corpus = pathlib.Path(temporary) / "corpus.txt"
        lines = [line for path in files for line in path.read_text().splitlines()[:1500] if 0 < len(line) < 2000]
        random.Random(1).shuffle(lines)
        corpus.write_text("\n".join(lines[:12000]))
        for model_type in ["bpe", "unigram"]:
            for rule, size, fallback in [("identity", 5000, True), ("nmt_nfkc", 8000, False), ("nmt_nfkc_cf", 8000, True)]:
                folder = pathlib.Path(temporary) / f"{model_type}-{rule}-{size}"
                processor = train("model", corpus, folder, model_type=model_type, vocab_size=size, byte_fallback=fallback,
                                  normalization_rule_name=rule, character_coverage=0.985)
                equal = total = 0
                for path in files:
                    text = path.read_bytes()
                    got = subprocess.run([program, "tokenizer", "encode", "--tokenizer", folder, path],
                                         stdout=subprocess.PIPE, check=True).stdout
                    expected = processor.encode(text)
                    total += len(expected)
                    equal += got.split() == [b"%d" % token for token in expected]
                print(f"{folder.name}: {equal} of {len(files)} files equal, {total} ids", flush=True)


def main():
    if sys.argv[1:2] == ["--compare"]:
        compare(sys.argv[2], pathlib.Path(sys.argv[3]))
        return
    out = {}
    for name, options in MODELS.items():
        processor = train(name, HERE / "corpus.txt", OUT / name, **options)
        out[name] = list(cases_of(processor))
        print(name, processor.get_piece_size(), "pieces,", (OUT / name / "tokenizer.model").stat().st_size, "bytes")
    out["llama"] = llama_cases()
    with open(OUT / "cases.json", "w", encoding="utf-8") as file:
        models = [f'"{name}":[\n' + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]"
                  for name, cases in out.items() if name != "llama"]
        file.write("{\n" + ",\n".join(models) + ',\n"llama":' + json.dumps(out["llama"], separators=(",", ":")) + "\n}\n")


main()
