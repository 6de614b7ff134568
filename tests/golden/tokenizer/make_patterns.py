#!/usr/bin/env python3
"""Makes patterns.json: what patterns match in Hugging Face `tokenizers`, whose engine is Oniguruma, in nasty texts.

    pip install tokenizers==0.23.3
    ./make_patterns.py

texts: no characters newer than Unicode 14, whose classes depend on the PCRE2 library
patterns: of each, the matches in every text, but for empty ones
refused: patterns that Oniguruma reads and base/regex.cpp does not
"""
import json
import pathlib

from tokenizers import Regex, pre_tokenizers

TEXTS = ["aXb\nA.b\r\nab ss SS ß ẞ ſ K k K", "a\nb\n\nc C\n", "aaaaa aa a b1a2c", "\r\n\r\n \x85\x0b\x0c\u2028a\u180e\u200b\u3000z",
         "ae\u0301b किताब กันน้ำ x²Ⅳ_1‿٣ ²x", "ﬃ ﬁ ffi fi ŉ ʼn i̇ İ ı ﬆ st", "👩\u200d💻 a\u200db 🇫🇷é\u0301 한국 ㄱ々〆ー、。",
         "don't I'LL [a-z]{2} {,} x{1 \\d $+<=>^`|~ «»¿€©", "ªº ⓐⒶ ⅷⅧ 𝟘 ½¼ ・ー゛ ǅ ß ά\u0345", "\t\x00\x1f\x7f\xa0\xad\ufeff\ue000 %A0-fF"]
SETS = [r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", r"\h", r"\H"]
POSIX = ["alnum", "alpha", "ascii", "blank", "cntrl", "digit", "lower", "punct", "space", "upper", "word", "xdigit"]
PROPERTIES = ["L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Ps", "S", "Sm", "Sc", "Sk", "So",
              "Z", "Zs", "C", "Cc", "Cf", "Han", "Hiragana", "Katakana", "Thai", "Latin", "Devanagari", "Common", "Alphabetic", "Any"]
PATTERNS = [r"\b", r"\b\w+\b", r"\w\b", r"\b\W", r"\B\w", r"\w\B", r"[^\w ]", r"[^\W\d]+", r"[\W_]+", r"[\w.]+",
            r"[^\S\n]+", r"[\S]+", r"[\Da]", r"[^\D5]", r"[\H]", r"[^[:^alpha:]a]+", r"[[:^space:][:cntrl:]]", r"[\h\v]+", r"[\x{61}-c]",
            r"(?m:a.b)", r"(?m).+", r"(?m-i:a.)b", r"(?-m:a.)", r"(?im)a.b", r"a.b", "a{,2}", "a{,2}+", "a{,}", "a{2}", "a{2}?", "a{2}+", "a{1,2}?",
            "a{1,2}+", "a{2,}+b", "a{,1}?b", "x{1", "a{b}", "{,}", "a?+", "a*+b", "a++", "a+?", r"(?i)k", r"(?i)a|B", r"a(?i)b|c", r"(a(?i)b|c)C?",
            r"(?i:'s|'t|'re|'ll)", r"(?i)[a-c]+", r"(?i)\p{Lu}+", r"(?i)\w", r"(?i)[^x]", r"(?i:a)B|K", r"\v", r"\R", r"^", r"^a", r"b$", r"a?$",
            r"\Aa", r"a\z", r"C\Z", r"\N+", r"(a)\1", r"(a|b)+\1", r"(?<n>a)b", r"(?>a+)a", r"(?<=a)b", r"(?<!a)b", r"(?<=\b)a", r"a(?=\b)", r"(?#x)b",
            r"\u0061", r"\x61", r"\x{df}", r"\$|\+|\[|\{", r"\p{^L}+", r"\P{^L}+", r"\P{Han}", r"[^\p{L}\p{M}\s]+", r"[]a]", r"[-a]", r"[a-]", r"[\b\t]",
            r"\s+(?!\S)|\s+", r"[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*"]
REFUSED = [r"(?i)SS", r"(?i)sS", r"(?i)ß", r"(?i)[ß]", r"(?i)s(?:s)", r"(?i)\x73s", r"(?i)s{2}", r"(?i)fi", r"(?i)[[:upper:]]", r"(?i)(s)\1", r"[a[b]]",
           r"[a&&b]", r"(?~ab)", r"(?x)a b", r"(?<n>a)\k<n>", r"(a)\g<1>", r"\Ga", r"\K", r"\O", r"\Qa\E", r"\C-a", r"\M-a", r"\y", r"\pL", r"[[:graph:]]",
           r"\p{Word}", r"\141", r"(?W:\w)", r"(?'n'a)"]


def matches(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return [[piece for piece, _ in split.pre_tokenize_str(text)] for text in TEXTS]


def main():
    patterns = SETS + [f"[{s}]" for s in SETS] + [f"[^{s}]" for s in SETS]
    patterns += [f"[[:{name}:]]" for name in POSIX] + [f"[[:^{name}:]]" for name in POSIX] + [f"\\p{{{name}}}" for name in PROPERTIES]
    lines = [json.dumps({"pattern": p, "matches": matches(p)}, separators=(",", ":")) for p in patterns + PATTERNS]
    refused = [p for p in REFUSED if Regex(p)]
    out = f'{{"texts":{json.dumps(TEXTS)},\n"refused":{json.dumps(refused)},\n"patterns":[\n' + ",\n".join(lines) + "]}\n"
    (pathlib.Path(__file__).resolve().parent / "patterns.json").write_text(out)


if __name__ == "__main__":
    main()
