#include "cli/common.h"
#include "cli/option_list.h"

namespace nibble {
namespace {

std::string names_of_commands() {
  std::string out;
  for (const Command& c : commands()) out += std::string(out.empty() ? "" : " ") + c.name;
  return out;
}

std::string bash() {
  std::string out = "# bash completion for nibble: source <(nibble completion bash)\n_nibble() {\n";
  out += "  local word=${COMP_WORDS[COMP_CWORD]} options=\n  COMPREPLY=()\n";
  out += "  if ((COMP_CWORD == 1)); then\n    COMPREPLY=($(compgen -W \"help " +
         names_of_commands() + "\" -- \"$word\"))\n    return\n  fi\n";
  out += "  case ${COMP_WORDS[1]} in\n    help)\n      COMPREPLY=($(compgen -W \"" +
         names_of_commands() + "\" -- \"$word\"))\n      return\n      ;;\n";
  for (const Command& c : commands()) {
    out += fmt::format("    {}) options=\"", c.name);
    std::string_view space = "";
    for (const OptionText& o : text_of(c).options) {
      if (o.positional) continue;
      out += fmt::format("{}{}", space, fmt::join(o.names, " "));
      space = " ";
    }
    out += "\" ;;\n";
  }
  out += "  esac\n  if [[ $word == -* ]]; then\n";
  out += "    COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n  else\n";
  // A name a line: a name may hold spaces.
  out += "    mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n  fi\n}\n";
  return out + "complete -o filenames -F _nibble nibble\n";
}

// _arguments takes brackets and colons apart.
std::string zsh_text(const std::string& text) {
  std::string out;
  for (char c : first_words(text)) {
    if (c == '[' || c == ']') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh() {
  std::string out = "#compdef nibble\n# zsh completion for nibble: nibble completion zsh > ";
  out += "\"${fpath[1]}/_nibble\"\n_nibble() {\n  local -a commands\n  commands=(\n";
  for (const Command& c : commands())
    out += "    " + shell_quoted(fmt::format("{}:{}", c.name, c.summary)) + "\n";
  out += "  )\n  if ((CURRENT == 2)); then\n    _describe command commands\n    return\n  fi\n";
  out += "  local command=$words[2]\n  shift words\n  ((CURRENT--))\n  case $command in\n";
  for (const Command& c : commands()) {
    out += fmt::format("    {})\n      _arguments", c.name);
    for (const OptionText& o : text_of(c).options)
      for (const std::string& name : o.names) {
        if (o.positional) continue;
        std::string value = o.value.empty() ? "" : fmt::format(":{}:_files", o.value);
        out +=
            " \\\n        " + shell_quoted(fmt::format("{}[{}]{}", name, zsh_text(o.text), value));
      }
    out += " \\\n        '*:file:_files'\n      ;;\n";
  }
  return out + "  esac\n}\ncompdef _nibble nibble\n";
}

std::string fish() {
  std::string out =
      "# fish completion for nibble: nibble completion fish > "
      "~/.config/fish/completions/nibble.fish\n";
  for (const Command& c : commands())
    out += fmt::format("complete -c nibble -n __fish_use_subcommand -a {} -d {}\n", c.name,
                       shell_quoted(c.summary, "\\'"));
  for (const Command& c : commands())
    for (const OptionText& o : text_of(c).options) {
      if (o.positional) continue;
      out += fmt::format("complete -c nibble -n '__fish_seen_subcommand_from {}'", c.name);
      for (const std::string& name : o.names)
        out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      out += (o.value.empty() ? "" : " -r") + std::string(" -d ") +
             shell_quoted(first_words(o.text), "\\'") + "\n";
    }
  return out;
}

CommandBody setup(CLI::App& app) {
  auto shell = std::make_shared<std::string>();
  app.add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}))
      ->type_name("");
  app.footer("Example: source <(nibble completion bash)");
  return [shell]() -> Result<int> {
    put(*shell == "bash" ? bash() : *shell == "zsh" ? zsh() : fish());
    return 0;
  };
}

}  // namespace

const Command kCommand_completion = {"completion",
                                     "what a shell needs to complete nibble's options", setup};

}  // namespace nibble
