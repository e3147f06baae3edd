#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "text/utf8.h"

namespace nibble {
namespace {

// PCRE2's \s takes in U+180E, which Unicode's White_Space (Oniguruma's \s) does not.
constexpr std::string_view kSpaces =
    "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"
    "\\x{205f}\\x{3000}";

// The pattern in PCRE2's dialect: \s and \S spelled out, \h (a hex digit in Oniguruma) too.
std::string translate(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    char c = pattern[i];
    if (c != '\\' || i + 1 == pattern.size()) {
      if (c == '[') in_class = true;
      if (c == ']') in_class = false;
      out += c;
      continue;
    }
    char escaped = pattern[++i];
    if (escaped == 's') {
      out += in_class ? std::string(kSpaces) : fmt::format("[{}]", kSpaces);
    } else if (escaped == 'S' && !in_class) {
      out += fmt::format("[^{}]", kSpaces);
    } else if (escaped == 'h') {
      out += in_class ? "0-9a-fA-F" : "[0-9a-fA-F]";
    } else {
      out += c;
      out += escaped;
    }
  }
  return out;
}

std::string message_of(int code) {
  PCRE2_UCHAR8 buffer[160];
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

// Limits and the stack of machine code, one set for each thread.
struct ThreadLimits {
  ThreadLimits() {
    pcre2_set_match_limit(context, 10'000'000);
    pcre2_set_depth_limit(context, 100'000);
    pcre2_set_heap_limit(context, 64 * 1024);  // KiB
    pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~ThreadLimits() {
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 * 1024, 8 * 1024 * 1024, nullptr);
};

}  // namespace

Result<Regex> Regex::compile(std::string_view pattern, const std::string& what) {
  constexpr size_t kMaxPattern = 64 * 1024;
  if (pattern.size() > kMaxPattern)
    return fail("{}: regular expression of {} bytes is too long", what, pattern.size());
  std::string translated = translate(pattern);
  int error = 0;
  PCRE2_SIZE where = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &where, nullptr);
  if (!code)
    return fail("{}: regular expression \"{}\": {}", what, pattern.substr(0, 80),
                message_of(error));
  // Where there is no machine code for this processor the interpreter does the same, slower.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  Regex regex;
  regex.code_ =
      std::shared_ptr<void>(code, [](void* p) { pcre2_code_free(static_cast<pcre2_code*>(p)); });
  regex.pattern_ = pattern;
  regex.what_ = what;
  return regex;
}

Regex::Search::Search(const Regex& regex, std::string_view text)
    : regex_(regex),
      text_(text),
      data_(pcre2_match_data_create_from_pattern(static_cast<pcre2_code*>(regex.code_.get()),
                                                 nullptr)) {}

Regex::Search::~Search() { pcre2_match_data_free(static_cast<pcre2_match_data*>(data_)); }

Result<std::optional<Match>> Regex::Search::next() {
  thread_local ThreadLimits limits;
  if (at_ > text_.size()) return std::nullopt;
  auto* data = static_cast<pcre2_match_data*>(data_);
  // The caller has checked that the text is UTF-8.
  int rc = pcre2_match(static_cast<pcre2_code*>(regex_.code_.get()),
                       reinterpret_cast<PCRE2_SPTR>(text_.data()), text_.size(), at_,
                       PCRE2_NO_UTF_CHECK, data, limits.context);
  if (rc == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (rc < 0)
    return fail("{}: regular expression \"{}\" gave up: {}", regex_.what_,
                std::string_view(regex_.pattern_).substr(0, 80), message_of(rc));
  const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(data);
  Match match{ends[0], ends[1]};
  if (match.end < match.begin)  // \K inside a lookahead can do this
    return fail("{}: regular expression matches backwards", regex_.what_);
  at_ = match.end;
  if (match.end == match.begin)
    at_ += match.end < text_.size() ? char_length(static_cast<unsigned char>(text_[match.end])) : 1;
  return match;
}

}  // namespace nibble
