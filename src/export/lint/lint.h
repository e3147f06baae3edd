// What of an exported folder its target would refuse or run otherwise, known without the target.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace nibble {

struct LintTarget {
  const char* name;     // as --target takes it
  const char* summary;  // one line for people: whose rules, and on what kind of folder
  // A line for each problem; none: nothing that these rules know. An error where the folder is
  // nothing that the target could take.
  Result<std::vector<std::string>> (*problems)(const std::string& folder);
};

// Declared here, defined in export/lint/NAME.cc.
#define X(name) extern const LintTarget kLint_##name;
#include "export/lint/targets.inc"
#undef X

// Those of targets.inc, in that order.
std::span<const LintTarget* const> lint_targets();

}  // namespace nibble
