#include <csignal>

#include "cli/commands.h"

int main(int argc, char** argv) {
  // A reader that goes away (`nibble ... | head`) ends the program quietly, also where the parent
  // left the signal ignored.
  std::signal(SIGPIPE, SIG_DFL);
  return nibble::run_program({argv, static_cast<size_t>(argc)});
}
