"""Writes foreign_orders.json: the samples that Megatron-LM (current and 1.1.5) and PaddleFleetX take, computed with numpy.

Written from the description of the orders in src/data/sampler.h: laid documents, windows, shuffle. Data sets are counted:
the id at place p of the files is p. Of each order the first id of every sample is kept, and a hash over all its ids.
Run: python3 make_foreign_orders.py, with numpy >= 1.17.
"""
import json

import numpy as np

SYSTEMS = {"megatron": (True, True, False), "megatron-v1.1.5": (True, False, True), "paddle": (False, True, True)}
PARTS = ("train", "validation", "test")


def split(shares, count, each):
    """The three ranges of documents: rounded share by share, or as running sums."""
    shares = [share / sum(shares) for share in shares]
    if each:
        ends = np.cumsum([0] + [round(share * count) for share in shares])
        ends[1:] -= ends[-1] - count
    else:
        ends, before = [0], 0.0
        for share in shares:
            before += share
            ends.append(int(round(before * count)))
    return [(int(a), int(b)) for a, b in zip(ends, ends[1:])]


def take(lengths, part, seq, samples, seed, shuffle_documents, rule):
    """(epochs, whether the last is apart, matrix of `samples` windows of seq + 1 ids)."""
    begins = np.concatenate([[0], np.cumsum(lengths)])
    documents = np.arange(*part)
    per_epoch = int(sum(lengths[d] for d in documents))
    epochs = next(e for e in range(1, 10**6) if (e * per_epoch - 1) // seq >= samples)
    early = ((epochs - 1) * per_epoch - 1) // seq
    apart = rule and epochs > 1 and samples - early < int(0.8 * ((per_epoch - 1) // seq))

    random = np.random.RandomState(seed)
    laid = []
    for count in [epochs - 1, 1] if apart else [epochs]:
        some = np.concatenate([documents] * count).astype(np.int32)
        if shuffle_documents:
            random.shuffle(some)
        laid.append(some)
    stream = np.concatenate([np.arange(begins[d], begins[d + 1]) for d in np.concatenate(laid)])

    total = (len(stream) - 1) // seq
    windows = []
    for begin, end in [(0, early), (early, total)] if apart else [(0, total)]:
        some = np.arange(begin, end, dtype=np.uint32)
        random.shuffle(some)
        windows.append(some)
    windows = np.concatenate(windows)[:samples]
    return epochs, bool(apart), np.stack([stream[w * seq:w * seq + seq + 1] for w in windows.astype(int)])


def digest(rows):
    value = 0
    for number in rows.reshape(-1).tolist():
        value = (value * 6364136223846793005 + number + 1) % 2**64
    return f"{value:016x}"


def main():
    rng = np.random.RandomState(11)
    sets = {"short": rng.randint(1, 12, size=60).tolist(), "gaps": rng.randint(0, 50, size=31).tolist(),
            "uneven": [300, 2, 7, 1, 120, 0, 64, 33, 5, 18]}
    shares = [949, 50, 1]
    cases, apart_count = [], 0
    for system, (shuffle_documents, rule, each) in SYSTEMS.items():
        for name, lengths in sets.items():
            part = split(shares, len(lengths), each)[0]
            per_epoch = sum(lengths[part[0]:part[1]])
            for seq in (3, 8, 21):
                windows = (per_epoch - 1) // seq
                for samples in (windows // 2, windows + max(1, windows // 4), 2 * windows + windows * 9 // 10):
                    epochs, apart, rows = take(lengths, part, seq, samples, 1234 + seq, shuffle_documents, rule)
                    apart_count += apart
                    cases.append({"order": system, "set": name, "sequence_length": seq, "num_samples": samples,
                                  "seed": 1234 + seq, "num_epochs": epochs, "apart": apart,
                                  "firsts": rows[:24, 0].tolist(), "digest": digest(rows)})
    splits = [{"shares": s, "count": n, "running": split(s, n, False), "each": split(s, n, True)}
              for s in ([949, 50, 1], [1, 1, 0], [98, 1, 1], [0.6, 0.3, 0.1], [1, 0, 0])
              for n in (1, 2, 3, 5, 10, 313, 1565)]
    with open("foreign_orders.json", "w") as out:
        json.dump({"numpy": np.__version__, "shares": shares, "sets": sets, "cases": cases, "splits": splits}, out,
                  separators=(",", ":"))
        out.write("\n")
    print(len(cases), "cases,", apart_count, "with a last epoch apart")


if __name__ == "__main__":
    main()
