#include "export/lint/lint.h"

namespace nibble {
namespace {

constexpr const LintTarget* kTargets[] = {
#define X(name) &kLint_##name,
#include "export/lint/targets.inc"
#undef X
};

}  // namespace

std::span<const LintTarget* const> lint_targets() { return kTargets; }

}  // namespace nibble
