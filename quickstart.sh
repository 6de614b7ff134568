#!/bin/sh
# ./quickstart.sh [poetry-tiny|austen-tiny]: from a fresh Debian or Ubuntu machine to a model that writes. Installs the
# packages that are missing (as root or with sudo), builds ./trireme, makes the text, trains recipes/NAME.yaml, prints
# samples. Run again, it does only what is left to do: a stopped training goes on, a finished one just writes.
set -eu
cd "$(dirname "$0")"

recipe=${1:-poetry-tiny}
case $recipe in
  poetry-tiny) corpus=tang_poems text=data/tang-poems.txt ;;
  austen-tiny) corpus=austen text=data/austen.txt ;;
  *) echo "usage: ./quickstart.sh [poetry-tiny|austen-tiny]" >&2; exit 2 ;;
esac
run=runs/$recipe

start=$(date +%s)
say() { printf '\n== %s (%s s since the start)\n' "$*" "$(($(date +%s) - start))"; }

say "1/4 packages"
tools/install_deps

say "2/4 build"
# A folder of its own: the tests, which need more packages, are configured in build/cpu by ./test.sh.
cmake -S . -B build/quickstart -G Ninja -DCMAKE_BUILD_TYPE=Release -DTRIREME_TESTS=OFF -DTRIREME_BENCH=OFF >/dev/null
cmake --build build/quickstart --target trireme -j "$(nproc)"
ln -sfn build/quickstart/trireme trireme

say "3/4 training; the log is $run/log/rank-0.log, the recipe with all its values $run/recipe.yaml"
[ -s "$text" ] || "tools/data/$corpus" "$text"
# Ctrl-C reaches trireme, which finishes its step, saves and exits with 3; this script must live to say so.
trap : INT TERM
status=0
./trireme train "recipes/$recipe.yaml" >/dev/null || status=$?
trap - INT TERM
if [ "$status" -eq 3 ]; then
  echo "quickstart: stopped, and a checkpoint is saved; ./quickstart.sh $recipe goes on from there" >&2
fi
[ "$status" -eq 0 ] || exit "$status"

say "4/4 samples"
if [ "$recipe" = poetry-tiny ]; then
  ./trireme generate "$run" --num-samples 20 --temperature 0.6 --top-p 0.9
  prompt=春
else
  ./trireme generate "$run" --num-samples 4 --temperature 0.8 --top-p 0.9 --max-new-tokens 200 --prompt 'It was'
  prompt='She had'
fi

say "done. What to try next:"
try_this() { printf '  %-80s # %s\n' "$@"; }
try_this "./trireme generate $run --prompt '$prompt' --top-p 0.9 --max-new-tokens 64" "your own beginning"
try_this "./trireme data samples recipes/$recipe.yaml" "the text as training sees it"
try_this "./trireme verify $run" "every byte of the newest checkpoint"
try_this "./trireme train recipes/$recipe.yaml --dry-run" "every key and its value, the memory of a run"
try_this "./trireme docs keys" "what each key means"
[ "$recipe" = austen-tiny ] || try_this "./quickstart.sh austen-tiny" "English prose; takes longer"
try_this "./test.sh" "build and run every test"
