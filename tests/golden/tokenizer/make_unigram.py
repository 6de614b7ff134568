#!/usr/bin/env python3
"""Makes the goldens of unigram models in tokenizer.json with Hugging Face `tokenizers`: the chains of XLM-R, T5, ALBERT,
Llama-like ones with byte fallback, and made-up vocabularies in which sums are often equal.

    pip install tokenizers==0.23.3 sentencepiece==0.2.3 protobuf
    ./make_unigram.py                            writes unigram.json, in the form of zoo.json
    ./make_unigram.py --compare TRIREME FILE...  with the full map of nmt_nfkc: encodes lines of the files with both and
                                                 counts; writes nothing

Pieces and scores come from models that sentencepiece trains on corpus.txt, as transformers converts them.
"""
import base64
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

HERE = pathlib.Path(__file__).resolve().parent
CORPUS = HERE / "corpus.txt"
SPACE = "\u2581"
# Characters -> characters, in hexadecimal.
RULES = ["3000\t20", "9\t20", "A\t20", "D\t20", "a0\t20", "2581\t20", "65 301\te9", "66 69\tfb01", "ff21\t41", "200b\t",
         "2026\t2e 2e 2e", "1\t", "d7 301\t58", "d7\t78", "3d 338\t2260", "600\t", "1f642\t3a 29"]
TEXTS = ["", " ", "   ", "the oars", " the  oars ", "The harbour wakes before the sun does.", "a\nb\t\tc\u3000d\u00a0 e",
         "e\u0301 fi ff \uff21 \uff21\u0301x \uff21\u0301\u0302", "a\r\nb\r\n\r\nc", "a\u200b b \u200b", "\u200b",
         "\u00d7\u0301 \u00d7\u0301\u0301 \u00d7 =\u0338 =\u0338\u0301", "\u06001 \u0600a \u0600", "🙂 🙂\ufe0f 🙂\u200d🚣 👨\u200d👩\u200d👧 🇫🇷🇩🇪🇫",
         "춘향 \u1112\u1161\u11ab", "क्षि क्\u200dष", "春眠不觉晓，处处闻啼鸟。", "我春眠你ζζζ ζaζ", "12,345.67 …", "\u0001a\u0001",
         f"{SPACE}the{SPACE}{SPACE}sun", "``a'' b", "ÀÉ Łódź ŒUVRE", "aaaaaaaaaaaaaaaaaaaaaaaa", "the sun " * 40, "明月" * 80,
         "abab baba abba " * 9, "e\u0301" * 30]
SPECIAL_TEXTS = ["<s>the</s> oars", "a <mask> b", "a<mask>", "<pad><unk>x<unk>"]


def texts(seed):
    draw = random.Random(seed)
    pools = ["the oars rise ", "abcab ", " \t\n\u3000\r", "春眠不觉晓闻啼鸟", "efi\u0301\u200b\uff21=\u0338\u00d7 ", "abζ",
             [chr(c) for c in range(1, 0x3000)], [chr(c) for c in range(0x3000, 0xD800)],
             [chr(c) for c in (*range(0x300, 0x310), 0x200D, 0xFE0F, 0x1F642, 0x1F1E6, 0x600, 0xD7, 0x41, 0x20, 0x915, 0x94D)]]
    return TEXTS + ["".join(draw.choice(pool) for _ in range(draw.randrange(1, 40))) for pool in pools for _ in range(5)]


def spm(rules, **options):
    """Pieces with their scores, and the compiled map."""
    with tempfile.TemporaryDirectory() as temporary:
        if rules == "nmt_nfkc":
            options["normalization_rule_name"] = rules
        else:
            (pathlib.Path(temporary) / "rules.tsv").write_text("".join(rule + "\n" for rule in rules))
            options["normalization_rule_tsv"] = f"{temporary}/rules.tsv"
        sentencepiece.SentencePieceTrainer.train(input=str(CORPUS), model_prefix=f"{temporary}/m", model_type="unigram",
                                                 num_threads=1, minloglevel=2, hard_vocab_limit=False, **options)
        model = sentencepiece_model_pb2.ModelProto.FromString(pathlib.Path(f"{temporary}/m.model").read_bytes())
    return [(p.piece, p.score) for p in model.pieces], base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode()


def precompiled(charsmap):
    return normalizers.Precompiled(base64.b64decode(charsmap))


def tokenizer(vocab, unk, normalizer=None, pre=None, decoder=None, fallback=False, ends=None, added=True):
    out = Tokenizer(models.Unigram(vocab, unk, fallback))
    if normalizer:
        out.normalizer = normalizer
    if pre:
        out.pre_tokenizer = pre
    if decoder:
        out.decoder = decoder
    if added:
        out.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in ("<s>", "</s>", "<unk>", "<pad>")])
        out.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False, special=True)])
    if ends:
        out.post_processor = processors.TemplateProcessing(single=ends, special_tokens=[
            (t, out.token_to_id(t)) for t in ("<s>", "</s>")])
    return out


def kinds(rules):
    n, p, d = normalizers, pre_tokenizers, decoders
    pieces, charsmap = spm(rules, vocab_size=300)
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)] + pieces[3:]
    metaspace = p.Metaspace(SPACE, "always", True)
    yield "xlm-r", tokenizer(pieces, 3, precompiled(charsmap), p.Sequence([p.WhitespaceSplit(), metaspace]),
                             d.Metaspace(SPACE, "always", True), ends="<s> $A </s>")
    yield "t5", tokenizer(pieces, 3, n.Sequence([precompiled(charsmap), n.Replace(Regex(" {2,}"), " ")]), metaspace,
                          d.Metaspace(SPACE, "always", True), ends="$A </s>")
    if rules == "nmt_nfkc":
        return
    yield "albert", tokenizer(pieces, 3, n.Sequence([n.Replace("``", '"'), n.Replace("''", '"'), n.NFKD(), n.StripAccents(),
                                                     n.Lowercase(), precompiled(charsmap)]),
                              p.Sequence([p.WhitespaceSplit(), metaspace]), d.Metaspace(SPACE, "always", True))
    bytes_too = pieces + [(f"<0x{b:02X}>", 0.0) for b in range(256)]
    chain = d.Sequence([d.Replace(SPACE, " "), d.ByteFallback(), d.Fuse()])
    yield "byte fallback", tokenizer(bytes_too, 3, None, p.Metaspace(SPACE, "never", False), chain, True)
    yield "a byte is missing", tokenizer(bytes_too[:-40], 3, None, p.Metaspace(SPACE, "first", True), None, True)
    draw = random.Random(3)
    made = ["a", "b", "ab", "ba", "aa", "bb", "aba", "bab", "abab", "baba", "ζζ", " ", "the", " the", "a", "e\u0301"]
    for name, score in [("equal scores", lambda t: -float(len(t))), ("tenths", lambda t: -len(t) / 10),
                        ("17 digits", lambda t: -draw.random() * 7), ("positive", lambda t: 40 + draw.randrange(9) / 10),
                        ("tiny and large", lambda t: draw.choice([-1e-7, -3e22, -1.5e-310, -123456789.123456789]))]:
        yield name, tokenizer([("<unk>", score("x"))] + [(t, score(t)) for t in made], 0, added=False)


def cases_of(made, seed):
    out = []
    for text in texts(seed):
        ids = made.encode(text, add_special_tokens=False).ids
        decoded = made.decode(ids, skip_special_tokens=False) if ids else ""
        out.append({"text": text, "ids": ids} | ({} if "�" in decoded else {"decoded": decoded}))
    if made.token_to_id("<mask>"):
        out += [{"text": text, "special": made.encode(text, add_special_tokens=False).ids} for text in SPECIAL_TEXTS]
    return out


def compare(program, files):
    for name, made in kinds("nmt_nfkc"):
        with tempfile.TemporaryDirectory() as folder:
            made.save(f"{folder}/tokenizer.json")
            made = Tokenizer.from_file(f"{folder}/tokenizer.json")
            lines = [text for file in files for text in pathlib.Path(file).read_text().splitlines()[:2000]] + texts(77) * 3
            draw = random.Random(5)
            pool = [chr(c) for c in (*range(1, 0xD800), *range(0xE000, 0x11000), *range(0x1F000, 0x1FB00)) if chr(c).isprintable()]
            lines += ["".join(draw.choice(pool) for _ in range(12)) for _ in range(3000)]
            equal = ids = 0
            for begin in range(0, len(lines), 50):
                text = "\n\n".join(lines[begin:begin + 50])
                (pathlib.Path(folder) / "text").write_bytes(text.encode())
                got = subprocess.run([program, "tokenizer", "encode", "--tokenizer", folder, f"{folder}/text"],
                                     stdout=subprocess.PIPE, check=True).stdout.split()
                expected = made.encode(text, add_special_tokens=False).ids
                ids += len(expected)
                equal += got == [b"%d" % token for token in expected]
            print(f"{name}: {equal} of {-(-len(lines) // 50)} texts equal, {ids} ids", flush=True)


def main():
    if sys.argv[1:2] == ["--compare"]:
        compare(sys.argv[2], sys.argv[3:])
        return
    entries = []
    for seed, (name, made) in enumerate(kinds(RULES)):
        spec = json.loads(made.to_str())
        made = Tokenizer.from_str(json.dumps(spec))  # reading changes scores by a last bit
        around = made.encode("", add_special_tokens=True).ids
        entries.append({"name": name, "template": around, "tokenizer": spec, "cases": cases_of(made, seed)})
    body = ",\n".join(json.dumps(entry, separators=(",", ":"), ensure_ascii=True) for entry in entries)
    (HERE / "unigram.json").write_text('{"tokenizers":[\n' + body + "]}\n")
    print(len(entries), "tokenizers,", sum(len(entry["cases"]) for entry in entries), "texts")


main()
