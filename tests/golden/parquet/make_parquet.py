"""Writes small Parquet files with pyarrow, one for each way in which a column of text may be kept, and rows.json with the
texts they hold. Run: python3 make_parquet.py, with pyarrow >= 10.
"""
import itertools
import json

import pyarrow as pa
import pyarrow.parquet as pq

WORDS = ["", "春眠不覺曉，處處聞啼鳥。", "a", "line\nbreak", "spring sleep " * 9, "\u0000zero", "b"]


def rows(count):
    texts = [WORDS[i * i % len(WORDS)] if i % 3 else f"row {i} " + "x" * (i % 11) for i in range(count)]
    return texts, [None if i % 4 == 1 else t for i, t in enumerate(texts)]


def main():
    texts, sparse = rows(90)
    table = pa.table(
        {"id": pa.array(range(90), pa.int64()), "text": pa.array(texts), "sparse": pa.array(sparse),
         "tags": pa.array([["t"]] * 90), "more": pa.array([{"text": "inner"}] * 90)},
        schema=pa.schema([pa.field("id", pa.int64()), pa.field("text", pa.string(), nullable=False),
                          pa.field("sparse", pa.string()), pa.field("tags", pa.list_(pa.string())),
                          pa.field("more", pa.struct([pa.field("text", pa.string())]))]))
    names = []
    for codec, dictionary, version in itertools.product(("none", "snappy", "zstd"), (True, False), ("1.0", "2.0")):
        name = f"{codec}-{'words' if dictionary else 'plain'}-v{version[0]}.parquet"
        pq.write_table(table, name, compression=codec, use_dictionary=dictionary, data_page_version=version,
                       row_group_size=40, data_page_size=600, write_batch_size=8, store_schema=False,
                       write_statistics=name.startswith("zstd"))
        names.append(name)
    pq.write_table(table.select(["text"]), "gzip.parquet", compression="gzip", store_schema=False)
    with open("rows.json", "w") as out:
        json.dump({"pyarrow": pa.__version__, "files": names, "text": texts, "sparse": [t or "" for t in sparse]}, out,
                  separators=(",", ":"))
        out.write("\n")


if __name__ == "__main__":
    main()
