#!/bin/sh
# Writes numbers.gz and numbers.zst: the numbers from 1 to 12000, a line each, packed by gzip and zstd.
set -eu
seq 12000 | gzip -9n >numbers.gz
seq 12000 | zstd -19 -q --check >numbers.zst
