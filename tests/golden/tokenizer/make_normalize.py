#!/usr/bin/env python3
"""Makes normalize.json: the normal forms of all code points (as hashes) and of random runs of marks.

    pip install unicodedata2==16.0.0 tokenizers==0.23.3 xxhash && ./make_normalize.py
"""
import json
import pathlib
import random

import unicodedata2
import xxhash
from tokenizers import normalizers

FORMS = ["NFD", "NFC", "NFKD", "NFKC"]
POINTS = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def cases():
    draw = random.Random(3)
    marks = [c for c in POINTS if unicodedata2.combining(c)]
    made = [c for c in POINTS if unicodedata2.decomposition(c)]
    plain = "aeiouncsAEIİΣ \u1100\u1161\u11a8가한春"
    for _ in range(120):
        yield "".join(draw.choice(draw.choice([marks, marks, made, plain])) for _ in range(draw.randrange(2, 12)))


def main():
    hashes = {form: xxhash.xxh3_64_hexdigest("".join(unicodedata2.normalize(form, c) + "\n" for c in POINTS).encode())
              for form in FORMS}
    lines = []
    for text in cases():
        entry = {"text": text} | {form: unicodedata2.normalize(form, text) for form in FORMS}
        entry["tokenizers"] = {kind: getattr(normalizers, kind)().normalize_str(text)
                               for kind in FORMS + ["Lowercase", "StripAccents"]}
        lines.append(json.dumps(entry, separators=(",", ":")))
    body = ",\n".join(lines)
    (pathlib.Path(__file__).resolve().parent / "normalize.json").write_text(
        f'{{"points":{json.dumps(hashes)},\n"cases":[\n{body}]}}\n')


main()
