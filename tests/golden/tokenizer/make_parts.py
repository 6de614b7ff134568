#!/usr/bin/env python3
"""Makes parts.json: the rarer components of tokenizer.json with Hugging Face `tokenizers`, beside the zoo of make_zoo.py.

    pip install tokenizers==0.23.3 regex==2026.11.15 xxhash
    ./make_parts.py [MORE]

tokenizers: as in zoo.json; `joined` has runs of ids of any order, with the text that they decode to
points: hashes of what every code point, and a line end, become in a normalizer, and of the pieces of all code points
MORE multiplies the texts, for a comparison that is not kept.
"""
import json
import random
import sys

import xxhash
from make_zoo import CORPUS, HERE, LETTERS, characters, texts
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

MORE = int(sys.argv[1]) if len(sys.argv) > 1 else 0
BYTES = [f"<0x{b:02X}>" for b in range(256)]
POINTS = [chr(c) for c in range(0x110000) if c not in range(0xD800, 0xE000)]
n, p, d = normalizers, pre_tokenizers, decoders


def affixed(prefix, suffix, pre, norm=None, decoder=None, special=("<unk>",), alphabet=LETTERS, size=560, **options):
    affixes = {key: value for key, value in (("continuing_subword_prefix", prefix), ("end_of_word_suffix", suffix)) if value}
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", **affixes, **options))
    tokenizer.normalizer, tokenizer.pre_tokenizer = norm or n.NFC(), pre
    tokenizer.train_from_iterator(CORPUS.splitlines(True) * 2, trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, special_tokens=list(special), show_progress=False, max_token_length=12,
        initial_alphabet=list(alphabet), **affixes))
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = data["added_tokens"][:1]
    tokenizer = Tokenizer.from_str(json.dumps(data))
    if decoder:
        tokenizer.decoder = decoder
    return tokenizer


def of_tokens(tokens, decoder):
    """A vocabulary for decoders only: a list, or ids by token."""
    vocab = tokens if isinstance(tokens, dict) else {token: k for k, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    if decoder:
        tokenizer.decoder = decoder
    return tokenizer


def short_texts(letters, count):
    draw = random.Random(letters)
    return ["".join(draw.choice(letters) for _ in range(draw.randrange(1, 12))) for _ in range(count * (MORE + 1))]


def kinds():
    words, sequence = p.Whitespace(), d.Sequence
    yield "suffix", affixed("", "</w>", words, None, d.BPEDecoder("</w>"))
    yield "suffix, fused unknown", affixed("", "</w>", p.BertPreTokenizer(), None, d.BPEDecoder("</w>"), fuse_unk=True)
    yield "prefix, BERT", affixed("##", "", p.BertPreTokenizer(), n.BertNormalizer(), d.WordPiece("##", True))
    yield "both, ignoring merges", affixed("__", "@", words, None, d.WordPiece("__", False), ignore_merges=True)
    yield "both, bytes", affixed("é", "中", words, None, d.Fuse(), ["<unk>"] + BYTES, size=900, byte_fallback=True)
    yield "prefix, some bytes", affixed("#", "", words, None, d.Fuse(), ["<unk>"] + BYTES[:0xE5], size=760,
                                        byte_fallback=True, fuse_unk=True)
    yield "bytes, then strip", characters(words, None, sequence([d.ByteFallback(), d.Strip("o", 1, 0)]))
    clip = affixed("", "</w>", p.Sequence([p.Split(Regex(r"<\|x\|>|'s|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", True),
                                           p.ByteLevel(False)]),
                   n.Sequence([n.NFC(), n.Replace(Regex(r"\s+"), " "), n.Lowercase()]), d.ByteLevel(),
                   alphabet=p.ByteLevel.alphabet(), size=620)
    yield "byte-level suffix", clip
    inner = characters(p.Sequence([p.ByteLevel(True, use_regex=False), p.Split("Ġ", "merged_with_next")]), None, None,
                       CORPUS.replace(" ", "Ġ"))
    yield "byte-level inside, no decoder", inner
    yield "normalizer byte-level", characters(words, n.ByteLevel(), d.ByteLevel(), CORPUS.replace(" ", "Ġ"))
    yield "byte-level, others' characters", characters(p.ByteLevel(False), None, d.ByteLevel(), size=420, ignore_merges=True)
    added = characters(p.ByteLevel(False), n.Lowercase(), d.ByteLevel(), size=420)
    added.add_tokens([AddedToken("é", normalized=True), AddedToken("oars ", normalized=False), AddedToken("ĠĠ", single_word=True)])
    yield "byte-level, added", added
    yield "byte-level, words joined", characters(p.ByteLevel(False), n.Nmt(), d.Sequence([d.Replace("Ġ", " "), d.WordPiece("t", True)]), size=330)
    for clean, chinese, accents, lower in [(True, True, None, False), (False, True, True, False), (True, False, False, True)]:
        bert = n.BertNormalizer(clean, chinese, accents, lower)
        yield f"BERT {clean} {chinese} {accents} {lower}", characters(None, bert, d.Fuse())
    yield "replace nothing", characters(None, n.Sequence([n.Replace("", "-"), n.Replace(Regex(""), "'")]), d.Fuse())
    yield "scripts", characters(p.Sequence([p.UnicodeScripts(), p.Punctuation("isolated")]), None, d.Fuse(), size=360)
    yield "fixed length", characters(p.FixedLength(3), None, d.Fuse(), size=360)
    yield "fixed length in words", characters(p.Sequence([p.WhitespaceSplit(), p.FixedLength(2), p.UnicodeScripts()]), n.Nmt(), d.Fuse())
    tokens = ["a", "b", "ab", " ", " .", " do", " not", " '", "s", "n't", "##a", "##", "é", "春", "▁", "▁a", "</w>", "a</w>",
              "b</w></w>", "|", "<pad>", "a|", "<pad>b", ".", ",", "<0x41>", "<0xE6>", "<0x98>", "<0xA5>", "aa", " n", "'t"]
    cut = d.Strip("a", 1, 0)
    for name, decoder in {
            "metaspace": d.Metaspace("▁", "first", True), "strip": cut,
            "WordPiece": d.WordPiece("##", True), "WordPiece plain": d.WordPiece("##", False), "WordPiece none": d.WordPiece("", True),
            "BPEDecoder": d.BPEDecoder("</w>"), "BPEDecoder none": d.BPEDecoder(""), "CTC": d.CTC(), "CTC plain": d.CTC("<pad>", "|", False),
            "CTC own": d.CTC("a", "b", True), "CTC none": d.CTC("", "", True),
            "words, suffix": sequence([d.WordPiece("##", True), d.BPEDecoder("</w>"), d.Fuse()]),
            "CTC, words": sequence([d.CTC("a", "|", True), d.WordPiece("##", True), d.CTC("b", "▁", False)]),
            "CTC twice": sequence([d.CTC(), d.Replace("b", "a"), d.CTC("<pad>", "s", True), d.BPEDecoder("a")]),
            "bytes inside": sequence([d.ByteFallback(), d.WordPiece("##", False), d.Replace("春", "ab")]),
            "fused replace": sequence([d.Fuse(), d.Replace("aab", "<>"), d.Replace(Regex("b+ ?a"), "é"), d.Replace("a", "")]),
            "fused literals": sequence([d.Replace("▁", " "), d.ByteFallback(), d.Fuse(), d.Replace("ab", "b"), d.Replace("bb", "春"), d.Replace("春 ", "_")]),
            "fused around": sequence([d.Fuse(), d.Replace("", "-"), d.Replace("-a", "")]),
            "fused words": sequence([d.Fuse(), d.WordPiece("##", True)]), "fused CTC": sequence([d.Fuse(), d.CTC("<pad>", "|", True)]),
            "fused suffix": sequence([d.Fuse(), d.BPEDecoder("</w>")]), "fused metaspace": sequence([d.Fuse(), d.Metaspace("▁", "always", True)]),
            "fused strips": sequence([d.Fuse(), cut, d.Replace("b", "a"), cut]), "fused bytes": sequence([d.Fuse(), d.ByteFallback()]),
            "fused byte-level": sequence([d.Fuse(), d.ByteLevel()]), "byte-level, words": sequence([d.ByteLevel(), d.WordPiece("##", True), d.Replace("ab", "c")]),
            "patterns, then bytes": sequence([d.Replace(Regex("^a|b$"), ""), d.ByteLevel(), d.Strip("b", 1, 0), d.Replace("", ".")])}.items():
        yield name, of_tokens(tokens, decoder)
    holes = {"a": 0, "b": 2, "▁a": 5, "##c": 7}
    for name, decoder in {"none": None, "WordPiece": d.WordPiece("##", False), "Metaspace": d.Metaspace(),
                          "strip, Metaspace": sequence([d.Strip("a", 1, 0), d.Metaspace()]), "BPEDecoder": d.BPEDecoder("b")}.items():
        yield f"holes, {name}", of_tokens(holes, decoder)
    yield "signed bytes", of_tokens(["<0x+A>", "<0x+g>", "<0x++>", "<0x-1>", "<0x4+>", "<0x+1>", "a"], sequence([d.ByteFallback(), d.Fuse()]))
    yield "fused overlaps", of_tokens(["a", "b", "aab", "ab", "c", "aa"], sequence([d.Fuse(), d.Replace("aabaaab", "<>"), d.Replace("abab", "-"), d.Strip("a", 2, 0)]))
    yield "fused ends", of_tokens(["ééaé", "éèé", "aéé", "aaaé", "aèa"], sequence([d.Fuse(), d.Strip("é", 1, 2), d.Strip("a", 0, 1)]))
    unknown = of_tokens({"u": 0, "a": 1, "b": 2, "Ġ": 4}, d.ByteLevel())
    unknown.pre_tokenizer = p.ByteLevel(False, use_regex=False)
    for fuse in (True, False):
        unknown.model = models.BPE(vocab={"u": 0, "a": 1, "b": 2, "ab": 3, "Ġ": 4}, merges=[("a", "b")], unk_token="u", fuse_unk=fuse)
        yield f"byte-level, known unknown {fuse}", unknown, short_texts("uxab y", 40)
    for name, added in {
            "both": [AddedToken(" ", lstrip=True, rstrip=True)], "both, long": [AddedToken(" ", lstrip=True, rstrip=True), AddedToken("a ", rstrip=True)],
            "inside": [AddedToken(" "), AddedToken("a", rstrip=True)], "line ends": [AddedToken("\n"), AddedToken("a", rstrip=True), AddedToken(" ", rstrip=True)]}.items():
        tokenizer = of_tokens(["x", "y", "b", " "], d.Fuse())
        tokenizer.add_tokens(added)
        yield f"white space, {name}", tokenizer, short_texts("ab  \nx", 40)


def joined(tokenizer, seed):
    draw, size, out = random.Random(seed), max(tokenizer.get_vocab().values()) + 1, []
    while len(out) < 12 * (MORE + 1):
        few = [draw.randrange(size) for _ in range(draw.randrange(1, 6))]
        ids = [draw.choice(few) if draw.random() < 0.5 else draw.randrange(size) for _ in range(draw.randrange(1, 14))]
        text = tokenizer.decode(ids, skip_special_tokens=False)
        if "�" not in text:
            out.append([ids, text])
        elif draw.random() < 0.1:
            break
    return out


def points():
    def digest(parts):
        return xxhash.xxh3_64_hexdigest("".join(part + "\n" for part in parts).encode())

    out = {"Nmt": digest(map(n.Nmt().normalize_str, POINTS))}
    for name, options in {"clean_text": (True, False, False, False), "handle_chinese_chars": (False, True, False, False),
                          "strip_accents": (False, False, True, False)}.items():
        out[name] = digest(map(n.BertNormalizer(*options).normalize_str, POINTS))
    pieces = [[piece for piece, _ in p.UnicodeScripts().pre_tokenize_str(char + "a" + char + "中" + char)] for char in POINTS]
    out["UnicodeScripts"] = digest("\n".join(some) for some in pieces)
    return out


def main():
    lines = []
    for k, (name, tokenizer, *own) in enumerate(kinds()):
        cases = []
        has_text = tokenizer.get_vocab_size() > 40  # else ids alone count, but for those with texts of their own
        for text in own[0] if own else texts(k + 100, 1 + 20 * MORE) if has_text else []:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            case = {"text": text, "ids": ids}
            tokenizer.encode_special_tokens = True
            plain = tokenizer.encode(text, add_special_tokens=False).ids
            tokenizer.encode_special_tokens = False
            if ids != plain:
                case = {"text": text, "ids": plain, "special": ids}
            decoded = tokenizer.decode(ids, skip_special_tokens=False) if ids else ""
            if "�" not in decoded:
                case["decoded"] = decoded
            cases.append(case)
        entry = {"name": name, "template": [], "tokenizer": json.loads(tokenizer.to_str()), "cases": cases,
                 "joined": joined(tokenizer, k)}
        lines.append(json.dumps(entry, separators=(",", ":")))
    (HERE / "parts.json").write_text(f'{{"points":{json.dumps(points())},\n"tokenizers":[\n' + ",\n".join(lines) + "]}\n")


if __name__ == "__main__":
    main()
