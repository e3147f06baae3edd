// The program as a table of commands.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <span>
#include <string_view>

#include "base/result.h"

namespace nibble {

// What runs after the arguments are parsed; its value is the program's exit code.
using CommandBody = std::function<Result<int>()>;

struct Command {
  const char* name;
  const char* summary;  // one line of `nibble`'s overview
  // Adds the command's options to `app` and returns the body, which keeps the parsed values alive.
  CommandBody (*setup)(CLI::App& app);
};

// Declared here, defined in cli/NAME.cc.
#define X(name) extern const Command kCommand_##name;
#include "cli/commands.inc"
#undef X

// Those of commands.inc, in that order.
std::span<const Command> commands();
const Command* find_command(std::string_view name);

// What `nibble` alone prints.
std::string overview();

// The whole program behind main(): parses, runs, prints errors; returns the exit code. 0: done,
// 1: failed, 2: called wrongly.
int run_program(std::span<const char* const> arguments);

}  // namespace nibble
