#include "cli/common.h"
#include "cli/option_list.h"

namespace nibble {
namespace {

// Text as roff reads it: man(7), "Escape sequences" and "Requests".
std::string roff(const std::string& text) {
  std::string out;
  bool at_start = true;
  for (char c : text) {
    if (at_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
    at_start = c == '\n';
  }
  return out;
}

std::string header(const std::string& name, std::string_view summary) {
  std::string title = name;
  for (char& c : title) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return fmt::format(".TH {} 1 \"\" \"nibble " NIBBLE_VERSION
                     "\" \"nibble\"\n.SH NAME\n{} \\- {}\n",
                     title, roff(name), roff(std::string(summary)));
}

// Lines stay lines: lists in a help text are laid out by hand.
std::string verbatim(const std::string& text) { return ".nf\n" + roff(text) + "\n.fi\n"; }

std::string page(const Command& command) {
  std::string out = header(std::string("nibble-") + command.name, command.summary);
  out += fmt::format(".SH SYNOPSIS\n.B nibble {}\n", command.name);
  CommandText text = text_of(command);
  for (const OptionText& o : text.options)
    if (o.positional) out += fmt::format("[\\fI{}\\fR]\n", roff(o.names[0]));
  out += "[\\fIOPTIONS\\fR]\n.SH OPTIONS\n";
  for (const OptionText& o : text.options) {
    std::string names;
    for (const std::string& n : o.names)
      names += fmt::format("{}\\fB{}\\fR", names.empty() ? "" : ", ", roff(n));
    if (!o.value.empty() && !o.positional) names += fmt::format(" \\fI{}\\fR", roff(o.value));
    bool list = o.text.find('\n') != std::string::npos;
    out += fmt::format(".TP\n{}\n{}", names, list ? verbatim(o.text) : roff(o.text) + "\n");
  }
  if (!text.footer.empty()) out += ".SH NOTES\n" + verbatim(text.footer);
  return out +
         ".SH EXIT STATUS\n0: done, 1: failed, 2: called wrongly.\n.SH SEE ALSO\n.BR nibble (1)\n";
}

std::string main_page() {
  std::string out = header("nibble", "makes language models small, measures the loss, runs them");
  out += ".SH SYNOPSIS\n.B nibble\n\\fICOMMAND\\fR [\\fIMODEL\\fR] [\\fIOPTIONS\\fR]\n";
  out += ".SH DESCRIPTION\n" + verbatim(overview()) + ".SH SEE ALSO\n";
  std::string_view comma = "";
  for (const Command& c : commands()) {
    out += fmt::format("{}.BR nibble\\-{} (1)", comma, c.name);
    comma = ",\n";
  }
  return out + "\n";
}

CommandBody setup(CLI::App& app) {
  auto name = std::make_shared<std::string>();
  app.add_option("COMMAND", *name, "One of nibble's; without it, the page of nibble itself")
      ->type_name("");
  app.footer("Example: nibble man quantize | man -l -");
  return [name]() -> Result<int> {
    if (name->empty()) {
      put(main_page());
      return 0;
    }
    const Command* command = find_command(*name);
    if (!command) return usage("there is no command {}", in_quotes(*name));
    put(page(*command));
    return 0;
  };
}

}  // namespace

const Command kCommand_man = {"man", "manual pages, for man -l or share/man/man1", setup};

}  // namespace nibble
