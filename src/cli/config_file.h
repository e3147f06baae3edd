// A user's own defaults: options that commands take when the command line does not give them.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "cli/commands.h"

namespace nibble {

// The arguments that the config file adds to `given` for this command, whose options `app` holds.
// The file is $NIBBLE_CONFIG (empty: none), else nibble/config.yaml in $XDG_CONFIG_HOME or
// ~/.config, where it exists. It is a YAML map of options by their long names; those below a
// command's name are that command's, others go to every command that has them:
//   threads: 2
//   bench: {runs: 5, profile: true}
// Wrong usage: a key that is no option.
Result<std::vector<std::string>> configured_arguments(const Command& command, const CLI::App& app,
                                                      std::span<const char* const> given);

}  // namespace nibble
