// How text is written: what run and chat share.
#pragma once

#include "cli/commands.h"
#include "runtime/session.h"

namespace nibble {

void add_generation_options(CLI::App& app, GenerationOptions& generation);

}  // namespace nibble
