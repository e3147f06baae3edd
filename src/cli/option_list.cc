#include "cli/option_list.h"

namespace nibble {

CommandText text_of(const Command& command) {
  CLI::App app(command.summary, command.name);
  command.setup(app);
  CommandText out;
  out.footer = app.get_footer();
  for (const CLI::Option* option : app.get_options()) {
    OptionText o;
    for (const std::string& name : option->get_snames()) o.names.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) o.names.push_back("--" + name);
    o.positional = o.names.empty();
    if (o.positional) o.names.push_back(option->get_name(/*positional=*/true));
    if (option->get_items_expected_max() > 0) {
      // CLI11 appends what a check accepts, as "TEXT:{gguf,gptq}".
      o.value = option->get_type_name();
      o.value = o.value.substr(0, o.value.find_first_of(": "));
      if (o.value.empty()) o.value = "VALUE";
    }
    o.text = option->get_description();
    out.options.push_back(std::move(o));
  }
  return out;
}

std::string first_words(const std::string& text) {
  return text.substr(0, text.find_first_of("\n;:"));
}

}  // namespace nibble
