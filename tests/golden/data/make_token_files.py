"""Writes small token files as other systems write them, with numpy: paddle_ids.npy with paddle_idx.npz (stored) and
packed_ids.npy with packed_idx.npz (deflated), as PaddleFleetX reads them, and single_ids.npz, its older single file.
Five documents in seven sequences; the id at place p is 1000 + p. Run: python3 make_token_files.py
"""
import numpy as np

LENS = np.array([3, 0, 5, 1, 4, 2, 6], dtype=np.int32)
DOCS = np.array([0, 2, 3, 3, 6, 7], dtype=np.int64)
IDS = np.arange(1000, 1000 + LENS.sum())


def main():
    np.save("paddle_ids.npy", IDS.astype(np.uint16))
    np.savez("paddle_idx.npz", lens=LENS, docs=DOCS)
    np.save("packed_ids.npy", IDS.astype(np.int32))
    np.savez_compressed("packed_idx.npz", lens=LENS, docs=DOCS)
    np.savez("single_ids.npz", ids=IDS.astype(np.uint16), lens=LENS)


if __name__ == "__main__":
    main()
