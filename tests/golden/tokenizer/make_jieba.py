#!/usr/bin/env python3
"""Makes the goldens of the jieba tests: a dictionary and tables of our own, a tokenizer.json of the form of ModelScope's
Chinese GPT-3, how the package cuts texts and what Hugging Face's tokenizers makes of the words.

    pip install jieba==0.42.1 tokenizers==0.23.3
    ./make_jieba.py                writes jieba/dict.txt, jieba/prob_*.py, jieba/tokenizer.json, jieba/cases.json

The package's own dictionary and tables have the same form; users copy them beside a tokenizer.json.
"""
import json
import logging
import pathlib
import random

import jieba
import jieba.finalseg
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

OUT = pathlib.Path(__file__).resolve().parent / "jieba"
WORDS = ("港口 3000 n\n港 210 n\n水手 1800 n\n水 900 n\n手 850 n\n船 1000 n\n桨 400 n\n三排 12 m\n三 2000 m\n排 700 v\n"
         "排桨 12\n春眠 50 v\n春 300 n\n不觉 120 d\n不 5000 d\n觉 60 v\n觉晓 120 v\n晓 20 n\n处处 90 d\n处 400 n\n闻 300 v\n"
         "啼鸟 40 n\n鸟 500 n\n花落 25 v\n花 800 n\n落 600 v\n知 1200 v\n多少 900 m\n多 3000 a\n少 1500 a\n明月光 3 n\n明月 70 n\n"
         "月光 70 n\n光 300 n\nC++ 3 nz\nT恤 4 n\n4K 8 n\n的 60000 uj\n在 30000 p\n一 9000 m\n一一 0 m\n人 8000 n\n")
CHARACTERS = "港口水手船桨三排春眠不觉晓处闻啼鸟花落知多少明月光的在一人夜来风雨声李白杜甫王维欧阳修司马相如"
TEXTS = ["", " ", "港口的水手在三排桨的船", "春眠不觉晓，处处闻啼鸟。\r\n夜来风雨声，花落知多少。", "李白在欧阳修的船", "明月光 明月 月光 明月光光",
         "C++和c++在4K的T恤", "3.5%的人在v1.2.3-beta_4的a.b%", "a\r\nb\rc\n\nd\t e\u3000f\u00a0", "一一一一一", "\u9fd5\u9fd6\u4dff\u4e00", "𠮷野家🙂人",
         "王维杜甫司马相如知多少" * 5, "hello,world the-oars rise", "％＋ABC１２３", "100%%..5", "的" * 300]
STATES = "BEMS"
SPECIAL = ["<cls>", "<sep>", "<unk>", "<pad>", "<mask>", "<s>", "</s>", "<|endoftext|>"]


def tables():
    draw = random.Random(8)
    start = {"B": -0.25, "E": -3.14e100, "M": -3.14e100, "S": -1.5}
    trans = {"B": {"E": -0.5, "M": -0.9375}, "E": {"B": -0.625, "S": -0.75}, "M": {"E": -0.3125, "M": -1.25},
             "S": {"B": -0.75, "S": -0.625}}
    emit = {s: {c: -draw.randrange(2, 12) - draw.random() for c in CHARACTERS if draw.random() < 0.9} for s in STATES}
    return start, trans, emit


def texts():
    draw = random.Random(9)
    pools = [CHARACTERS, CHARACTERS + "ab1.%+-，。 \n", "".join(WORDS.split()), "港口水手三排桨船的在"]
    return TEXTS + ["".join(draw.choice(pool) for _ in range(draw.randrange(1, 80))) for pool in pools for _ in range(15)]


def train(words):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation("isolated")])
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=420, min_frequency=1, special_tokens=SPECIAL, show_progress=False,
                                  limit_alphabet=180)
    tokenizer.train_from_iterator(words, trainer)
    tokenizer.save(str(OUT / "tokenizer.json"), pretty=False)
    return tokenizer


def main():
    jieba.setLogLevel(logging.ERROR)
    OUT.mkdir(exist_ok=True)
    (OUT / "dict.txt").write_text(WORDS)
    start, trans, emit = tables()
    for name, table in [("start", start), ("trans", trans), ("emit", emit)]:
        (OUT / f"prob_{name}.py").write_text("P=" + repr(table) + "\n")
    jieba.finalseg.start_P, jieba.finalseg.trans_P, jieba.finalseg.emit_P = start, trans, emit
    tokenizer = jieba.Tokenizer(str(OUT / "dict.txt"))
    cut = [list(tokenizer.cut(text)) for text in texts()]
    bpe = train([word for words in cut for word in words])
    cases = []
    for text, words in zip(texts(), cut):
        ids = bpe.encode(words, is_pretokenized=True, add_special_tokens=True).ids
        cases.append({"text": text, "words": words, "ids": ids, "decoded": bpe.decode(ids, skip_special_tokens=False)})
    lines = [json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in cases]
    (OUT / "cases.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(len(cases), "texts,", sum(len(case["words"]) for case in cases), "words")


main()
