// The program `trireme`: everything is in app/.
#include "app/commands.h"

int main(int argc, char** argv) { return trireme::run_main({argv + 1, argv + argc}); }
