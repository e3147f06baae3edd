#include "cli/config_file.h"

#include <yaml-cpp/yaml.h>

#include <cstdlib>

#include "base/file.h"

namespace nibble {
namespace {

constexpr int64_t kLargestFile = 1 << 16;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// "" where there is none.
std::string config_path() {
  if (std::getenv("NIBBLE_CONFIG")) return variable("NIBBLE_CONFIG");
  std::string base = variable("XDG_CONFIG_HOME"), home = variable("HOME");
  if (base.empty() && home.empty()) return "";
  std::string path = (base.empty() ? home + "/.config" : base) + "/nibble/config.yaml";
  return path_exists(path) ? path : "";
}

const CLI::Option* find_option(const CLI::App& app, const std::string& name) {
  return app.get_option_no_throw("--" + name);
}

bool is_given(const CLI::Option& option, std::span<const char* const> given) {
  for (std::string_view argument : given) {
    for (const std::string& name : option.get_lnames())
      if (argument == "--" + name || argument.starts_with("--" + name + "=")) return true;
    for (const std::string& name : option.get_snames())
      if (!argument.starts_with("--") && argument.starts_with("-" + name)) return true;
  }
  return false;
}

// Whether any command has it: a general option need not be this one's.
bool known(const std::string& name) {
  for (const Command& c : commands()) {
    CLI::App app;
    CommandBody body = c.setup(app);
    if (find_option(app, name)) return true;
  }
  return false;
}

class Arguments {
 public:
  Arguments(std::string path, const CLI::App& app, std::span<const char* const> given)
      : path_(std::move(path)), app_(app), given_(given) {}

  Status add(const YAML::Node& map, const Command* of) {
    for (const auto& pair : map) {
      if (!pair.first.IsScalar()) return usage("{}: a key should be an option", path_);
      const std::string& name = pair.first.Scalar();
      if (!of && find_command(name)) continue;
      const CLI::Option* option = find_option(app_, name);
      if (!option && (of || !known(name)))
        return of ? usage("{}: {} has no option --{}", path_, of->name, name)
                  : usage("{}: no command has an option --{}", path_, name);
      if (!pair.second.IsScalar()) return usage("{}: {} should have one value", path_, name);
      if (option && !is_given(*option, given_)) put(*option, name, pair.second.Scalar());
    }
    return {};
  }
  std::vector<std::string> take() { return std::move(out_); }

 private:
  // The later of two entries for one option, the command's own, decides.
  void put(const CLI::Option& option, const std::string& name, const std::string& value) {
    bool flag = option.get_items_expected_max() == 0;
    std::erase_if(out_, [&](const std::string& a) {
      return a == "--" + name || a.starts_with("--" + name + "=");
    });
    if (!flag)
      out_.push_back("--" + name + "=" + value);
    else if (value == "true")
      out_.push_back("--" + name);
  }

  std::string path_;
  const CLI::App& app_;
  std::span<const char* const> given_;
  std::vector<std::string> out_;
};

}  // namespace

Result<std::vector<std::string>> configured_arguments(const Command& command, const CLI::App& app,
                                                      std::span<const char* const> given) {
  std::string path = config_path();
  if (path.empty()) return std::vector<std::string>{};
  Arguments out(path, app, given);
  // The library throws for what it cannot read.
  try {
    YAML::Node document = YAML::Load(NB_TRY(read_file(path, kLargestFile)));
    if (document.IsNull()) return std::vector<std::string>{};
    if (!document.IsMap()) return usage("{}: should be a map of options", path);
    NB_OK(out.add(document, nullptr));
    if (YAML::Node own = document[command.name]) {
      if (!own.IsMap()) return usage("{}: {} should be a map of options", path, command.name);
      NB_OK(out.add(own, &command));
    }
  } catch (const YAML::Exception& e) {
    return fail("{}: {}", path, e.what());
  }
  return out.take();
}

}  // namespace nibble
