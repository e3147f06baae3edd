#include "cli/common.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "base/log.h"
#include "base/threads.h"
#include "cli/help.h"

namespace nibble {
namespace {

constexpr const char* kEmbedded = "models/tales-3.7m";
constexpr std::array kActivationKinds = {Activations::kFloat, Activations::kInt8Block32,
                                         Activations::kInt8Token, Activations::kInt8Static};
constexpr std::array kCacheTypes = {KvType::kF32, KvType::kF16, KvType::kInt8};

}  // namespace

// Beside the program as it is built (build/release/nibble), in the source tree, as it is installed.
std::optional<std::string> find_data(const std::string& name) {
  namespace fs = std::filesystem;
  std::error_code ec;
  fs::path folder = fs::read_symlink("/proc/self/exe", ec).parent_path();
  std::vector<std::string> places;
  if (!ec)
    for (const char* up : {".", "..", "../.."}) places.push_back((folder / up / name).string());
  places.push_back(NIBBLE_SOURCE_DIR "/" + name);
  if (!ec) places.push_back((folder / "../share/nibble" / name).string());
  for (const std::string& place : places)
    if (is_folder(place)) return fs::path(place).lexically_normal().string();
  return std::nullopt;
}

void add_model_option(CLI::App& app, std::string& model) {
  app.add_option(
         "MODEL", model,
         "Model folder in Hugging Face form, or a GGUF file (default: the embedded tales-3.7m)")
      ->type_name("");
}

Result<std::string> model_folder(const std::string& model) {
  if (!model.empty()) {
    if (!path_exists(model)) return fail("{}: no such file or folder", model);
    return model;
  }
  if (auto embedded = find_data(kEmbedded)) {
    note("model: tales-3.7m, the one that comes with nibble");
    return *embedded;
  }
  return usage("no MODEL given, and the embedded tales-3.7m is not beside the program");
}

void add_threads_option(CLI::App& app) {
  app.add_option_function<int>(
         "-t,--threads", [](const int& count) { set_threads(count); },
         "Threads to use (default: all cores)")
      ->check(within(1, 1024))
      ->type_name("N");
  auto* pin = app.add_flag("--pin")->description("Keep each thread on a core of its own");
  app.parse_complete_callback([pin] {
    if (pin->count() == 0) return;
    if (Status done = set_threads(thread_count(), /*pin=*/true); !done)
      throw CLI::ValidationError("--pin", done.error().message);
  });
}

void add_json_option(CLI::App& app, bool& json) {
  app.add_flag("--json", json, "Print the result as JSON");
}

void add_lora_option(CLI::App& app, std::string& lora) {
  app.add_option("--lora", lora, "LoRA adapter in PEFT's form, merged before anything else")
      ->type_name("FOLDER");
}

void add_dry_run_option(CLI::App& app, bool& dry_run) {
  app.add_flag("--dry-run", dry_run, "Say what would be written, write nothing");
}

void add_split_option(CLI::App& app, int64_t& bytes) {
  app.add_option("--split-size", bytes,
                 "GGUF: tensors in files of at most so many bytes, as 2GB (default: one file)")
      ->type_name("SIZE")
      ->transform(CLI::AsSizeValue(true));
}

void add_activations_option(CLI::App& app, Activations& value) {
  auto set = [&value](const std::string& name) {
    for (Activations mode : kActivationKinds)
      if (name == activations_name(mode)) value = mode;
  };
  std::vector<std::string> names;
  for (Activations mode : kActivationKinds) names.push_back(activations_name(mode));
  app.add_option_function<std::string>(
         "--activations", set,
         fmt::format(
             "Arithmetic of quantized linears: float, int8 (a scale for each 32 values), "
             "int8-token (one for each token) or int8-static (the model's own) (default: {})",
             activations_name(value)))
      ->check(CLI::IsMember(names).description(""))
      ->type_name("KIND");
}

void add_packed_option(CLI::App& app, std::string& folder) {
  app.add_option("--packed", folder,
                 "Keep packed weights in FOLDER and map them next time: a faster start")
      ->type_name("FOLDER");
}

void add_cache_option(CLI::App& app, KvType& value) {
  std::vector<std::string> names;
  for (KvType type : kCacheTypes) names.push_back(cache_name(type));
  auto set = [&value](const std::string& name) {
    for (KvType type : kCacheTypes)
      if (name == cache_name(type)) value = type;
  };
  app.add_option_function<std::string>(
         "--cache", set,
         fmt::format("Numbers of the KV cache: f32, f16 or int8 (default: {})", cache_name(value)))
      ->check(CLI::IsMember(names).description(""))
      ->type_name("KIND");
}

const char* cache_name(KvType type) {
  switch (type) {
    case KvType::kF32:
      return "f32";
    case KvType::kF16:
      return "f16";
    case KvType::kInt8:
      return "int8";
  }
  return "";
}

const char* activations_name(Activations mode) {
  switch (mode) {
    case Activations::kFloat:
      return "float";
    case Activations::kInt8Block32:
      return "int8";
    case Activations::kInt8Token:
      return "int8-token";
    case Activations::kInt8Static:
      return "int8-static";
  }
  return "";
}

Result<std::string> describe_arithmetic(Activations mode, const ArithmeticCounts& linears) {
  auto [integer, rounded, all] = linears;
  if (linears.int8() == 0) return std::string("float");
  if (integer == 0)
    return fmt::format("int8 activations, decoded weights: {} of {} linears", rounded, all);
  const char* scales = mode == Activations::kInt8Token    ? "per token"
                       : mode == Activations::kInt8Static ? "per tensor, static,"
                                                          : "per 32";
  std::string decoded = rounded > 0 ? fmt::format(", {} with decoded weights", rounded) : "";
  return fmt::format("int8 activations {} on {}: {} of {} linears{}", scales,
                     NB_TRY(kernel_table_name()), integer, all, decoded);
}

Result<std::vector<int32_t>> parse_ids(std::string_view text) {
  auto is_gap = [](char c) { return c == ',' || c == ' ' || (c >= '\t' && c <= '\r'); };
  auto trim = [](std::string_view s) {
    while (!s.empty() && (s.front() == ' ' || (s.front() >= '\t' && s.front() <= '\r')))
      s.remove_prefix(1);
    while (!s.empty() && (s.back() == ' ' || (s.back() >= '\t' && s.back() <= '\r')))
      s.remove_suffix(1);
    return s;
  };
  text = trim(text);
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  std::vector<int32_t> ids;
  for (size_t at = 0; at < text.size();) {
    if (is_gap(text[at])) {
      ++at;
      continue;
    }
    int32_t id = 0;
    const char *begin = text.data() + at, *end = text.data() + text.size();
    auto [stop, error] = std::from_chars(begin, end, id);
    if (error != std::errc() || id < 0 || (stop != end && !is_gap(*stop))) {
      size_t word = at;
      while (word < text.size() && !is_gap(text[word])) ++word;
      return usage("{} is not a token id; ids are whole numbers with commas between, as 1,5,9",
                   in_quotes(text.substr(at, word - at)));
    }
    ids.push_back(id);
    at = static_cast<size_t>(stop - text.data());
  }
  return ids;
}

Status check_ids(std::span<const int32_t> ids, int64_t vocab) {
  for (int32_t id : ids)
    if (id < 0 || id >= vocab)
      return fail("token id {} is outside the vocabulary of {}", id, vocab);
  return {};
}

std::string ids_text(std::span<const int32_t> ids) {
  return fmt::format("{}", fmt::join(ids, ","));
}

void put(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

namespace {

bool is_flat(const Json& value) {
  return std::none_of(value.begin(), value.end(), [](const Json& v) { return v.is_structured(); });
}

// Text of a model may hold broken UTF-8; JSON may not.
std::string scalar_json(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// One member a line, lists of plain values on one: a thousand ids stay readable. Depth is bounded
// by what this program builds.
void append_json(const Json& value, size_t indent, std::string& out) {
  if (!value.is_structured() || value.empty()) {
    out += scalar_json(value);
    return;
  }
  bool object = value.is_object(), in_line = value.is_array() && is_flat(value);
  out += object ? '{' : '[';
  bool first = true;
  for (const auto& [key, member] : value.items()) {
    if (!std::exchange(first, false)) out += in_line ? ", " : ",";
    if (!in_line) out += '\n' + std::string(indent + 2, ' ');
    if (object) out += scalar_json(key) + ": ";
    append_json(member, indent + 2, out);
  }
  if (!in_line) out += '\n' + std::string(indent, ' ');
  out += object ? '}' : ']';
}

}  // namespace

void put_json(const Json& value) {
  std::string out;
  append_json(value, 0, out);
  put(out + "\n");
}

void put_json_line(const Json& value) { put(scalar_json(value) + "\n"); }

Result<double> parse_size(const std::string& text) {
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  for (auto [name, factor] : std::initializer_list<std::pair<std::string_view, double>>{
           {"", 1}, {"B", 1}, {"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}})
    if (error == std::errc() && unit == name && value > 0 && value < 1e15) return value * factor;
  return usage("{} is not a size, as 500MB", in_quotes(text));
}

std::optional<double> parse_share(const std::string& text) {
  char* end = nullptr;
  double value = std::strtod(text.c_str(), &end);
  std::string_view rest = end;
  if (end == text.c_str() || (!rest.empty() && rest != "%")) return std::nullopt;
  return rest == "%" ? value / 100 : value;
}

std::string shell_quoted(std::string_view text, std::string_view escape) {
  std::string out = "'";
  for (char c : text) c == '\'' ? out += escape : out += c;
  return out + "'";
}

std::string bytes_text(int64_t bytes) {
  auto b = static_cast<double>(bytes);
  if (bytes < 1000) return fmt::format("{} B", bytes);
  if (b < 999.95e3) return fmt::format("{:.1f} kB", b / 1e3);
  if (b < 999.95e6) return fmt::format("{:.1f} MB", b / 1e6);
  return fmt::format("{:.2f} GB", b / 1e9);
}

}  // namespace nibble
