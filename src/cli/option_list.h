// The options of every command as a list, for what is made from the same table as the help: shell
// completion and manual pages.
#pragma once

#include <string>
#include <vector>

#include "cli/commands.h"

namespace nibble {

struct OptionText {
  std::vector<std::string> names;  // "-t", "--threads", the long ones last; a positional: "MODEL"
  std::string value;               // what stands behind it, as "N"; empty for flags
  std::string text;                // the help, as it is written
  bool positional = false;
};

// A command's help in parts.
struct CommandText {
  std::vector<OptionText> options;  // in the order of the help
  std::string footer;               // what stands behind them; may be empty
};
CommandText text_of(const Command& command);
// The beginning of a help text, up to its first line break, semicolon or colon.
std::string first_words(const std::string& text);

}  // namespace nibble
