"""Writes orders.json: the index tables of Megatron-LM's GPTDataset for small data sets, computed with numpy.

Follows the description of the order (document index, sample index, shuffle index, and the last epoch kept apart where
less than 80 % of it is needed), with numpy's own RandomState. Run: python3 make_orders.py, with numpy >= 1.17.
"""
import json

import numpy as np


def order(lengths, seq, samples, seed):
    per_epoch = sum(lengths)
    epochs = 1
    while epochs * per_epoch < samples * seq + 1:
        epochs += 1
    whole = ((epochs - 1) * per_epoch - 1) // seq
    apart = epochs > 1 and samples - whole < int(0.80 * ((per_epoch - 1) // seq))

    random = np.random.RandomState(seed)
    parts = [epochs - 1, 1] if apart else [epochs]
    documents = []
    for count in parts:
        part = np.tile(np.arange(len(lengths), dtype=np.int32), count)
        random.shuffle(part)
        documents += part.tolist()

    # Every id of the stream as (place in the document index, offset); windows begin at every seq-th one.
    stream = [(place, offset) for place, d in enumerate(documents) for offset in range(lengths[d])]
    total = (len(stream) - 1) // seq
    starts = [stream[w * seq] for w in range(total + 1)]

    shuffle = []
    for begin, end in [(0, whole), (whole, total)] if apart else [(0, total)]:
        part = np.arange(begin, end, dtype=np.uint32)
        random.shuffle(part)
        shuffle += part.tolist()
    return {"lengths": lengths, "sequence_length": seq, "num_samples": samples, "seed": seed, "num_epochs": epochs,
            "apart": apart, "documents": documents, "starts": starts, "shuffle": shuffle}


def main():
    rng = np.random.RandomState(7)
    short = rng.randint(1, 9, size=23).tolist()
    gaps = rng.randint(0, 30, size=11).tolist()
    cases = [order(short, 4, 20, 1234),          # one epoch
             order(short, 4, 60, 1234),          # last epoch apart
             order(short, 7, 40, 0),             # last epoch in the common shuffle
             order(gaps, 16, 50, 4294967295),    # documents longer than a window, and empty ones
             order([100, 3, 250], 10, 100, 42)]
    shuffles = []
    for seed, size in [(0, 1), (1, 2), (42, 100), (4294967295, 1000)]:
        values = np.arange(size)
        random = np.random.RandomState(seed)
        random.shuffle(values)
        following = int(random.randint(0, 2**32, dtype=np.uint32))
        shuffles.append({"seed": seed, "size": size, "first": values[:16].tolist(), "next": following})
    with open("orders.json", "w") as out:
        json.dump({"numpy": np.__version__, "orders": cases, "shuffles": shuffles}, out, separators=(",", ":"))
        out.write("\n")
    print([(c["num_epochs"], c["apart"], len(c["shuffle"])) for c in cases])


if __name__ == "__main__":
    main()
