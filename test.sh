#!/bin/sh
# ./test.sh: installs what the tests need, builds with the preset cpu (or the one named as argument), checks the sources,
# runs every test, and says which were skipped and why. Leaves ./trireme, a link to the program.
set -eu
cd "$(dirname "$0")"
preset=${1:-cpu}
jobs=$(nproc)

tools/install_deps --tests
tools/check
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
