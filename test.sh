#!/bin/sh
# ./test.sh: installs what the tests need, builds with the preset cpu (or the one named as argument), checks the sources,
# runs every test, and says which were skipped and why. Leaves ./trireme, a link to the program.
set -eu
cd "$(dirname "$0")"
preset=${1:-cpu}
jobs=$(nproc)

tools/install_deps --tests
tools/check

# One test reads our events with the real tensorboard; without PyPI it is skipped and says so.
venv=build/venv
"$venv/bin/python" -c 'import tensorboard' 2>/dev/null ||
  { python3 -m venv "$venv" &&
    "$venv/bin/pip" install -q --no-deps tensorboard==2.21.0 protobuf==7.36.2 numpy==2.4.6 absl-py==2.5.1; } ||
  echo "test.sh: tensorboard cannot be installed here; its test will be skipped"

cmake --preset "$preset"
cmake --build --preset "$preset" -j "$jobs"
[ "$preset" != cpu ] || ln -sfn build/cpu/trireme trireme

# The status travels past the pipe in a file.
log=build/$preset/ctest.log
status=build/$preset/ctest.status
{ ctest --preset "$preset" -j "$jobs" && echo 0 >"$status" || echo $? >"$status"; } | tee "$log"

# GoogleTest prints "FILE:LINE: Skipped", the reason, and "[  SKIPPED ] NAME (0 ms)".
awk '
  / Skipped$/ { reason = ""; inside = 1; next }
  inside && /^\[  SKIPPED \]/ { if (!seen++) print "\nSkipped tests:"; print "  " $4 ":" reason; inside = 0; next }
  inside && NF { reason = reason " " $0 }
' "build/$preset/Testing/Temporary/LastTest.log"
echo
sed -n '/tests passed/,$p' "$log"
exit "$(cat "$status")"
