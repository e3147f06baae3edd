#include <cstdio>
#include <new>
#include <stdexcept>
#include <system_error>

#include "base/log.h"
#include "cli/commands.h"
#include "cli/common.h"
#include "cli/config_file.h"
#include "cli/help.h"

namespace nibble {

std::span<const Command> commands() {
  static const std::array list = {
#define X(name) kCommand_##name,
#include "cli/commands.inc"
#undef X
  };
  return list;
}

const Command* find_command(std::string_view name) {
  for (const Command& c : commands())
    if (name == c.name) return &c;
  return nullptr;
}

std::string overview() {
  std::string out =
      "nibble makes language models small: it quantizes them, measures what that cost, and runs "
      "them.\n\n"
      "Usage: nibble COMMAND [MODEL] [OPTIONS]\n\n";
  for (const Command& c : commands()) out += fmt::format("  {:<10} {}\n", c.name, c.summary);
  out +=
      "\n"
      "MODEL is a folder as Hugging Face has them: config.json, *.safetensors, tokenizer.json. "
      "Where\n"
      "it is left out, the small story model that comes with nibble (tales-3.7m) is taken.\n\n";
  if (find_command("quantize"))  // not in a program that only runs models
    out +=
        "The main job, to try as it stands:\n"
        "  nibble inspect\n"
        "  nibble quantize -o tales-4bit --scheme w4g128-asym --method gptq\n"
        "  nibble eval tales-4bit --against models/tales-3.7m --text "
        "models/tales-3.7m/held_out.txt\n"
        "  nibble run tales-4bit -p \"Once upon a time\"\n\n";
  out +=
      "nibble help COMMAND tells all options of one; nibble --version tells the version.\n"
      "~/.config/nibble/config.yaml may hold defaults, as threads: 2 or bench: {runs: 5}.\n"
      "Results go to standard output, messages to standard error; exit codes: 0 done, 1 failed,\n"
      "2 called wrongly.\n";
  return out;
}

namespace {

constexpr int kFailed = 1, kUsage = 2;

// One line for a person; never a part of the results.
int report(const std::string& message, int code) {
  std::fflush(stdout);
  log_line("nibble: " + message);
  return code;
}

int report_usage(const std::string& message, const std::string& help) {
  return report(message + "; see: nibble help" + help, kUsage);
}

int report(const Error& error, const Command& command) {
  if (error.kind == Error::Kind::kUsage)
    return report_usage(error.message, std::string(" ") + command.name);
  return report(error.message, kFailed);
}

std::string one_line(std::string text) {
  for (char& c : text)
    if (c == '\n' || c == '\r') c = ' ';
  while (!text.empty() && (text.back() == ' ' || text.back() == '.')) text.pop_back();
  return text;
}

int run_command(const Command& command, std::span<const char* const> arguments) {
  CLI::App app(command.summary, std::string("nibble ") + command.name);
  app.formatter(help_formatter());
  CommandBody body = command.setup(app);
  Result<std::vector<std::string>> defaults = configured_arguments(command, app, arguments);
  if (!defaults) return report(defaults.error(), command);
  try {
    // CLI11 reads its own copy, last argument first.
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    reversed.insert(reversed.end(), defaults->begin(), defaults->end());
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    put(app.help());
    return 0;
  } catch (const CLI::ParseError& e) {
    return report_usage(one_line(e.what()), std::string(" ") + command.name);
  }
  // All arithmetic goes through the chosen kernels, so a wrong NIBBLE_KERNELS ends every command
  // here.
  if (Result<std::string> table = kernel_table_name(); !table)
    return report(table.error().message, kFailed);
  Result<int> code = body();
  return code ? *code : report(code.error(), command);
}

int dispatch(std::span<const char* const> arguments) {
  if (arguments.empty()) {
    put(overview());
    return 0;
  }
  std::string_view first = arguments[0];
  if (first == "--version" || first == "-V") {
    put("nibble " NIBBLE_VERSION "\n");
    return 0;
  }
  bool help = first == "help" || first == "--help" || first == "-h";
  if (help && arguments.size() == 1) {
    put(overview());
    return 0;
  }
  std::string_view name = help ? arguments[1] : first;
  const Command* command = find_command(name);
  if (!command) return report_usage(fmt::format("there is no command {}", in_quotes(name)), "");
  if (help) {
    const char* ask[] = {"--help"};
    return run_command(*command, ask);
  }
  return run_command(*command, arguments.subspan(1));
}

int guarded(std::span<const char* const> arguments) {
  try {
    return dispatch(arguments);
  } catch (const std::bad_alloc&) {
    return report("out of memory: this needs more than the machine gives", kFailed);
  } catch (const std::length_error&) {
    return report("out of memory: this needs more than any machine gives", kFailed);
  } catch (const std::exception& e) {  // threads and file lists of the standard library
    return report(one_line(e.what()), kFailed);
  }
}

}  // namespace

int run_program(std::span<const char* const> arguments) {
  int code = guarded(arguments.empty() ? arguments : arguments.subspan(1));
  if (std::fflush(stdout) != 0 || std::ferror(stdout))
    return report("standard output: cannot write: " + std::generic_category().message(errno),
                  kFailed);
  return code;
}

}  // namespace nibble
