// How a command's --help looks: texts folded to the width of a terminal.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>

namespace nibble {

std::shared_ptr<CLI::FormatterBase> help_formatter();

// A check that says nothing in the help, where the text already names the bounds.
CLI::Validator within(int64_t least, int64_t most);

}  // namespace nibble
