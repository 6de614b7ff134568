#!/usr/bin/env python3
"""Makes the goldens of splits and of tokenizer.json's components with Hugging Face `tokenizers` and `regex`.

    pip install tokenizers==0.23.3 regex==2026.11.15
    ./make_zoo.py

splits.json: by pattern, texts and where their pieces end (in bytes)
zoo.json: small tokenizers of many kinds, as tokenizer.json has them, with texts, their ids with and without special
          tokens, and the ids decoded; all byte-level ones share one vocabulary, which stands once, at the begin
"""
import json
import pathlib
import random

import regex
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).resolve().parent
CORPUS = (HERE / "corpus.txt").read_text()

TAIL = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL
END = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
PATTERNS = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "llama3": LLAMA3,
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|"
              r"\s+(?!\S)|\s",
    "qwen2": LLAMA3.replace("{1,3}", ""),
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + END
             + r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + END
             + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + TAIL,
}
POOLS = ["abcXYZ'  \n", "'stremvlldSTREMVLLD\u017f ab", " \t\n\r\u00a0\u3000\u2003ab.", "0123456789., ½²Ⅳ",
         "aA中ʰ\u0301\u0903ǅ '\u2019sTd/\r\n 1", "aA中ʰ\u0301ǅ", "春眠不觉晓，。、\n「」 ab1", "!?#/\r\n \t-+=",
         "\u180e\u0085\u001c\u001d \u200b\u2028\u2029\ufeff a", "ÀéîǅñßŁΣЖжאبनक्ก안ﬁ"]
TEXTS = [
    "", " ", "Hello, world!  Two  spaces.   Three   ", "it's we'll they've I'd you're isn't I'm IT'S WE'LL it\u017f 'S\u017f '\u017f",
    "'s't're've'm'll'd ''s 's ' s 'stop 'LLama", "a\n\nb\n \n c\t\td \r\n\r\nx  \n", "a\u00a0b\u3000\u3000春眠\u3000不觉晓 \u180e\u0085",
    "1234567 12,345.67 ½²Ⅳ① a1b22c333d4444 ４５", "x=y+z;//?!\n// comment\n/* a */ http://x.org/a/b", "<div class=\"a\">b</div>\n    return f(x);\n",
    "春眠不觉晓，处处闻啼鸟。\n夜来风雨声，花落知多少。", "Łódź Ελλάδα Москва שלום مرحبا नमस्ते สวัสดี 안녕", "e\u0301 n\u0303 \u0301 Å ﬁ ① ｶﾞ",
    "camelCaseHTTPServer McDonald's ABCdef中文ABC ǅungla ʰa", "🙂🙂 🚣‍♀️🏳️‍🌈 ❤️", "the oars rise and fall; the oars rise, and fall!",
    "   leading and trailing   ", "_under_score ▁meta▁space", "M\u0301M\u0301A\u0301B a\u0301'S", "tab\there\x00\x7f end",
    "<s> [MASK]the <x> b<x>  c  [MASK]  d</s>", "THE Oars théirs <Mixed> <mixed> wordy word word's xword",
]


def texts(seed, count):
    draw = random.Random(seed)
    return TEXTS + ["".join(draw.choice(draw.choice(POOLS[k:k + 2])) for _ in range(draw.randrange(1, 40)))
                    for k in range(len(POOLS)) for _ in range(count)]


def ends(pieces):
    out = []
    for piece in pieces:
        out.append(len(piece.encode()) + (out[-1] if out else 0))
    return out


def splits():
    golden = {}
    for name, pattern in PATTERNS.items():
        engine, split = regex.compile(pattern), pre_tokenizers.Split(Regex(pattern), "isolated")
        golden[name] = []
        for text in texts(1, 12):
            pieces = engine.findall(text)
            assert "".join(pieces) == text
            # To Hugging Face's engine the possessive quantifiers of cl100k mean something else.
            assert name == "cl100k" or pieces == [p for p, _ in split.pre_tokenize_str(text)], (name, text)
            golden[name].append({"text": text, "ends": ends(pieces)})
    lines = ",\n".join(f' "{name}": [\n' + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "]"
                       for name, cases in golden.items())
    (HERE / "splits.json").write_text("{\n" + lines + "}\n")


def train(model, pre, norm=None, size=420, special=(), alphabet=(), corpus=CORPUS):
    tokenizer = Tokenizer(model)
    if norm:
        tokenizer.normalizer = norm
    if pre:
        tokenizer.pre_tokenizer = pre
    tokenizer.train_from_iterator(
        [line for line in corpus.splitlines(True)] * 2,
        trainers.BpeTrainer(vocab_size=size, min_frequency=2, special_tokens=list(special), show_progress=False,
                            initial_alphabet=list(alphabet), max_token_length=12))
    return tokenizer


def byte_level(pre=None, norm=None, added=(), **model):
    """The shared byte-level vocabulary behind another front."""
    tokenizer = Tokenizer.from_str(json.dumps(BYTES))
    data = json.loads(tokenizer.to_str())
    data["model"].update(model)
    tokenizer = Tokenizer.from_str(json.dumps(data))
    if norm:
        tokenizer.normalizer = norm
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*(pre or []), pre_tokenizers.ByteLevel(False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    for token in added:
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    return tokenizer


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(pattern, behavior, invert)


LETTERS = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ.,;!?'\n-"
LLAMA_DECODER = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                   decoders.Strip(" ", 1, 0)])


def characters(pre=None, norm=None, decoder=None, corpus=CORPUS, size=260, fallback=False, **options):
    """A vocabulary of characters; merges are learnt without cuts, so that pieces show."""
    special = ["<unk>", "<s>", "</s>"] + ([f"<0x{b:02X}>" for b in range(256)] if fallback else [])
    tokenizer = train(models.BPE(unk_token="<unk>", byte_fallback=fallback, **options), None, None,
                      size + (256 if fallback else 0), special, LETTERS, corpus)
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = data["added_tokens"][:3]
    tokenizer = Tokenizer.from_str(json.dumps(data))
    if norm:
        tokenizer.normalizer = norm
    if pre:
        tokenizer.pre_tokenizer = pre
    if decoder:
        tokenizer.decoder = decoder
    return tokenizer


def kinds():
    n, p, d = normalizers, pre_tokenizers, decoders
    for name, pattern in PATTERNS.items():
        yield name, byte_level([split(Regex(pattern))], n.NFC() if name == "qwen2" else None, ignore_merges=name == "llama3")
    prefix = byte_level()
    prefix.pre_tokenizer = p.ByteLevel(add_prefix_space=True)
    prefix.post_processor = processors.Sequence([processors.ByteLevel(), processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", prefix.token_to_id("<s>")), ("</s>", prefix.token_to_id("</s>"))])])
    yield "prefix space, template", prefix
    yield "digits, GPT-2", byte_level([p.Digits(True), split(Regex(PATTERNS["gpt2"]))])
    yield "three regexes", byte_level([
        split(Regex(r"\p{N}{1,3}")), split(Regex("[一-龥぀-ゟ゠-ヿ]+")),
        split(Regex(r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*" + TAIL))])
    yield "removed inverted", byte_level([split(Regex(LLAMA3), "removed", True)])
    for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
        for invert in (False, True):
            yield f"literal {behavior} {invert}", byte_level([split("a", behavior, invert)])
            yield f"regex {behavior} {invert}", byte_level([split(Regex(r"[\s.]|e+(?=r)|(?<=t)h"), behavior, invert)])
    yield "added", byte_level([split(Regex(PATTERNS["gpt2"]))], n.Lowercase(), [
        AddedToken("[MASK]", lstrip=True, special=True, normalized=False), AddedToken("<x>", rstrip=True, normalized=False),
        AddedToken("word", single_word=True, normalized=False), AddedToken("<Mixed>", normalized=True),
        AddedToken("<Mixed> <m", normalized=True), AddedToken("中", normalized=False)])
    yield "nfkc and replaces", byte_level(None, n.Sequence([n.NFKC(), n.Replace(Regex(r"\s+"), " "), n.Replace("the", "THE"), n.Strip()]))
    yield "nfd, accents", byte_level([p.Digits(False)], n.Sequence([n.NFD(), n.StripAccents(), n.Prepend("«"), n.Strip(True, False)]))
    few = byte_level([split(Regex(PATTERNS["gpt2"]))])
    data = json.loads(few.to_str())
    data["model"]["vocab"] = {t: k for k, t in enumerate(t for t, i in data["model"]["vocab"].items() if i < 256 and i % 5)}
    for k, token in enumerate(data["added_tokens"]):
        token["id"] = len(data["model"]["vocab"]) + k
    data["model"]["merges"] = []
    yield "missing bytes", Tokenizer.from_str(json.dumps(data))
    spaced = CORPUS.replace(" ", "▁")
    llama = characters(None, n.Sequence([n.Prepend("▁"), n.Replace(" ", "▁")]), LLAMA_DECODER, spaced, fallback=True, fuse_unk=True)
    llama.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    yield "llama 2", llama
    yield "metaspace first", characters(p.Metaspace("▁", "first", False), None, LLAMA_DECODER, spaced, fallback=True, fuse_unk=True)
    yield "metaspace always", characters(p.Metaspace("▁", "always", True), None, d.Metaspace("▁", "always", True), spaced)
    yield "metaspace never, fused unk", characters(p.Metaspace("▁", "never", True), None, d.Metaspace("▁", "never", True), spaced, fuse_unk=True)
    yield "whitespace", characters(p.Whitespace(), n.Sequence([n.NFKD(), n.StripAccents(), n.Lowercase()]))
    yield "bert-like", characters(p.Sequence([p.WhitespaceSplit(), p.Punctuation(), p.Digits(False)]), n.NFC())
    yield "punctuation contiguous", characters(p.Sequence([p.Punctuation("contiguous"), p.CharDelimiterSplit(" ")]), None, d.Fuse())
    yield "no cuts, ignoring merges", characters(None, None, d.Sequence([d.Strip("t", 1, 0), d.Replace("e", "E"), d.Fuse(), d.Strip("o", 2, 1)]), ignore_merges=True)
    yield "decoder with patterns", characters(None, None, d.Sequence([
        d.Replace(Regex(r"(?<=[a-m])e|^t|\s+$|x*?y"), "<>"), d.Replace(Regex("^$|O"), "0"), d.Fuse()]))


def main():
    global BYTES
    splits()
    shared = train(models.BPE(), pre_tokenizers.Sequence([split(Regex(LLAMA3)), pre_tokenizers.ByteLevel(False, use_regex=False)]),
                   size=420, alphabet=pre_tokenizers.ByteLevel.alphabet())
    # Merges across what patterns cut, so that every cut shows.
    data = json.loads(shared.to_str())
    for left, right in [("a", "a"), ("Ġ", "Ġ"), ("1", "2"), ("e", "Ġ"), ("t", "h"), (".", "Ċ"), ("Ċ", "Ċ"), ("s", "Ġ"), ("a", "Ġ"), ("Ġ", "a"), ("r", "a"), ("'", "s")]:
        if left + right not in data["model"]["vocab"]:
            data["model"]["vocab"][left + right] = len(data["model"]["vocab"])
            data["model"]["merges"].append([left, right])
    BYTES = data
    zoo = []
    for k, (name, tokenizer) in enumerate(kinds()):
        cases = []
        for text in texts(k + 2, 1):
            tokenizer.encode_special_tokens = True
            plain = tokenizer.encode(text, add_special_tokens=False).ids
            tokenizer.encode_special_tokens = False
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            decoded = tokenizer.decode(ids, skip_special_tokens=False) if ids else ""  # Strip fails on nothing
            case = {"text": text, "ids": plain}
            if ids != plain:
                case["special"] = ids
            if "�" not in decoded:
                case["decoded"] = decoded
            cases.append(case)
        around = tokenizer.encode("", add_special_tokens=True).ids
        spec = json.loads(tokenizer.to_str())
        if spec["model"]["vocab"] == data["model"]["vocab"]:
            spec["model"]["vocab"] = spec["model"]["merges"] = None
        zoo.append({"name": name, "template": around, "tokenizer": spec, "cases": cases})
    body = ",\n".join(json.dumps(entry, separators=(",", ":"), ensure_ascii=True) for entry in zoo)
    vocabulary = json.dumps({k: data["model"][k] for k in ("vocab", "merges")}, separators=(",", ":"), ensure_ascii=True)
    (HERE / "zoo.json").write_text('{"byte_level":' + vocabulary + ',\n"tokenizers":[\n' + body + "]}\n")


if __name__ == "__main__":
    main()
