#include "cli/help.h"

#include <fmt/ranges.h>

#include <set>

#include "base/result.h"

namespace nibble {
namespace {

constexpr size_t kNameWidth = 30, kTextWidth = 68;

// Lines of at most `width` bytes, broken at spaces; line breaks and indents of the text stay.
std::string fold(const std::string& text, size_t width) {
  std::string out;
  size_t line = 0;
  for (size_t at = 0; at < text.size();) {
    size_t end = text.find_first_of(" \n", at);
    if (end == std::string::npos) end = text.size();
    if (line > 0 && line + end - at > width) {
      while (out.ends_with(' ')) out.pop_back();
      out += '\n';
      line = 0;
    }
    out.append(text, at, end - at);
    line += end - at;
    if (end < text.size()) out += text[end];
    line = end < text.size() && text[end] == '\n' ? 0 : line + 1;
    at = end + 1;
  }
  return out;
}

class Folded : public CLI::Formatter {
 public:
  Folded() { column_width(kNameWidth); }
  std::string make_option_desc(const CLI::Option* option) const override {
    return fold(option->get_description(), kTextWidth);
  }
  // CLI11 keeps what an option excludes by address, so its order would change from run to run.
  std::string make_option_opts(const CLI::Option* option) const override {
    std::string text = CLI::Formatter::make_option_opts(option);
    std::set<std::string> names;
    for (const CLI::Option* other : option->get_excludes()) names.insert(other->get_name());
    if (names.empty()) return text;
    std::string mark = " " + get_label("Excludes") + ":";
    return fmt::format("{}{} {}", text.substr(0, text.find(mark)), mark, fmt::join(names, " "));
  }
};

}  // namespace

std::shared_ptr<CLI::FormatterBase> help_formatter() { return std::make_shared<Folded>(); }

CLI::Validator within(int64_t least, int64_t most) {
  return CLI::Validator(
      [least, most](std::string& text) {
        int64_t value = 0;
        if (!CLI::detail::lexical_cast(text, value) || value < least || value > most)
          return fmt::format("{} should be a whole number in {}..{}", text, least, most);
        return std::string();
      },
      "");
}

}  // namespace nibble
