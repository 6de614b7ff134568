// The program `trireme`: everything is in app/.
#include "app/commands.h"
#include "ops/cpu/blas.h"

int main(int argc, char** argv) {
  trireme::cpu::restart_with_better_blas(argv);
  return trireme::run_main({argv + 1, argv + argc});
}
