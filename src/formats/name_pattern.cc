#define PCRE2_CODE_UNIT_WIDTH 8
#include "formats/name_pattern.h"

#include <pcre2.h>

#include "base/json.h"

namespace nibble {
namespace {

constexpr size_t kMaxLength = 4096;
// A pattern of a real config needs some hundred steps; one made to take for ever matches nothing.
constexpr uint32_t kMaxSteps = 20'000;

pcre2_match_context* limits() {
  thread_local std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context(
      [] {
        auto* c = pcre2_match_context_create(nullptr);
        pcre2_set_match_limit(c, kMaxSteps);
        pcre2_set_depth_limit(c, kMaxSteps);
        return c;
      }(),
      &pcre2_match_context_free);
  return context.get();
}

bool matches(const pcre2_code* code, std::string_view name) {
  std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create(1, nullptr), &pcre2_match_data_free);
  return pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(name.data()), name.size(), 0, 0, data.get(),
                     limits()) >= 0;
}

constexpr std::string_view kSpecial = ".^$*+?()[]{}|\\";

// The one name that a regular expression matches where it is exact_pattern's, else empty. A config
// has such a one for each module, and each module is held against all of them.
std::string spelt_out(std::string_view regex) {
  if (!regex.ends_with('$')) return {};
  regex.remove_suffix(1);
  std::string name;
  for (size_t i = 0; i < regex.size(); ++i) {
    bool escaped = regex[i] == '\\' && i + 1 < regex.size();
    i += escaped;
    bool ascii = static_cast<unsigned char>(regex[i]) < 0x80;
    if (!ascii || (kSpecial.find(regex[i]) != kSpecial.npos) != escaped) return {};
    name += regex[i];
  }
  return name;
}

}  // namespace

Result<NamePattern> NamePattern::compile(const std::string& text, const std::string& what) {
  NamePattern p;
  p.text_ = text;
  if (!text.starts_with("re:")) return p;
  p.name_ = spelt_out(std::string_view(text).substr(3));
  if (!p.name_.empty()) return p;
  int error = 0;
  PCRE2_SIZE at = 0;
  if (text.size() > kMaxLength) return fail("{}: the target {} is too long", what, in_quotes(text));
  auto* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data() + 3), text.size() - 3,
                    PCRE2_ANCHORED | PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &error, &at, nullptr);
  if (!code) return fail("{}: the target {} is not a regular expression", what, in_quotes(text));
  p.regex_ = std::shared_ptr<const void>(
      code, [](const void* c) { pcre2_code_free(static_cast<pcre2_code*>(const_cast<void*>(c))); });
  return p;
}

NamePattern::Match NamePattern::match(std::string_view module) const {
  if (!name_.empty()) return name_ == module ? Match::kRegex : Match::kNone;
  if (regex_)
    return matches(static_cast<const pcre2_code*>(regex_.get()), module) ? Match::kRegex
                                                                         : Match::kNone;
  if (text_ == module) return Match::kName;
  if (text_ == "Linear") return Match::kClass;
  bool tail = !text_.empty() && module.size() > text_.size() && module.ends_with(text_) &&
              module[module.size() - text_.size() - 1] == '.';
  return tail ? Match::kTail : Match::kNone;
}

std::string exact_pattern(std::string_view module) {
  std::string out = "re:";
  for (char c : module) {
    if (kSpecial.find(c) != kSpecial.npos) out += '\\';
    out += c;
  }
  return out + "$";
}

}  // namespace nibble
