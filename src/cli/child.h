// nibble's own commands as processes of their own: what one takes of memory goes back when it ends,
// and one that dies leaves the rest standing.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace nibble {

// Runs `nibble ARGUMENTS` of this very program and returns what it printed; its messages are passed
// on to standard error, or go to the file `messages`. An error where it cannot be started or does
// not end with 0: the command has told the reason then, so the message only names it.
Result<std::string> run_nibble(const std::vector<std::string>& arguments,
                               const std::string& messages = "");

// A command line that a shell reads as these arguments: "nibble quantize 'my model' ...".
std::string command_line(const std::vector<std::string>& arguments);

}  // namespace nibble
