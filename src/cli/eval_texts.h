// `nibble eval --bleu`: texts that are written already, held against references.
#pragma once

#include <string>
#include <vector>

#include "cli/commands.h"

namespace nibble {

struct TextsFlags {
  std::string hypotheses;  // a file, one segment a line
  std::vector<std::string> references;
  std::string words = "13a";
};
void add_texts_options(CLI::App& app, TextsFlags& flags);
Result<int> score_texts(const TextsFlags& flags, bool json);

}  // namespace nibble
