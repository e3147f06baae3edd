#include "cli/inspect_text.h"

#include <algorithm>

#include "cli/common.h"

namespace nibble {
namespace {

std::string count_text(int64_t n) {
  auto d = static_cast<double>(n);
  if (n >= 1000000000) return fmt::format("{:.2f} B", d / 1e9);
  return n >= 1000000 ? fmt::format("{:.2f} M", d / 1e6) : std::to_string(n);
}

std::string joined(const Json& object) {
  std::string out;
  for (const auto& [key, value] : object.items())
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", value.get<int64_t>(), key);
  return out;
}

void put_stored(const Json& s) {
  put_line("{:<14}{} tensors ({}), {}", "stored", s["tensors"].get<int64_t>(), joined(s["dtypes"]),
           bytes_text(s["bytes"]));
  if (!s["schemes"].empty()) put_line("{:<14}{} linears", "quantized", joined(s["schemes"]));
  for (const Json& form : s["run_as_floats"])
    put_line("  {} is no grid of integers: it runs as floats and is exported anew",
             form.get<std::string>());
  put_line("{:<14}{:.3f} in the blocks' linears, {:.3f} over the whole file", "bits/weight",
           s["bpw"].get<double>(), s["file_bpw"].get<double>());
}

void put_parameters(const Json& p) {
  put_line("{:<14}{}", "parameters", count_text(p["total"]));
  for (const auto& [part, count] : p["by_part"].items())
    put_line("  {:<14}{:>12}", part, count_text(count));
  std::string roles;
  for (const auto& [role, count] : p["by_role"].items())
    roles += fmt::format("{}{} {}", roles.empty() ? "" : ", ", role, count_text(count));
  put_line("  by role: {}", roles);
}

void put_memory(const Json& j) {
  put_line(
      "\nMemory to run it (blocks' linears in the scheme, the rest as stored, {} cache for {} "
      "tokens):",
      j["kv_cache"]["type"].get<std::string>(), j["kv_cache"]["tokens"].get<int64_t>());
  put_line("  {:<14}{:>12}{:>12}{:>12}", "scheme", "weights", "KV cache", "together");
  for (const Json& m : j["memory"])
    put_line("  {:<14}{:>12}{:>12}{:>12}", m["scheme"].get<std::string>(),
             bytes_text(m["weights_bytes"]), bytes_text(m["kv_cache_bytes"]),
             bytes_text(m["total_bytes"]));
}

// The names of those that apply in one line, then what is to be said of some.
void put_applicable(const char* title, const Json& list) {
  std::vector<std::pair<std::string, std::string>> notes;  // names by note, in order
  std::string applies;
  auto add = [](std::string& to, const Json& a) {
    to += fmt::format("{}{}", to.empty() ? "" : ", ", a["name"].get<std::string>());
  };
  for (const Json& a : list) {
    if (a["applies"].get<bool>()) add(applies, a);
    if (a["note"].is_null()) continue;
    auto note = a["note"].get<std::string>();
    auto same = std::find_if(notes.begin(), notes.end(), [&](auto& n) { return n.second == note; });
    if (same == notes.end()) same = notes.insert(same, {"", note});
    add(same->first, a);
  }
  put_line("\n{} that apply: {}", title, applies.empty() ? "none" : applies);
  for (const auto& [names, note] : notes) put_line("  {}: {}", names, note);
}

void put_fits(const Json& forms) {
  put_line("\nForms of other programs, and the blocks' linears that they hold:");
  for (const Json& f : forms) {
    int64_t all = f["linears"];
    for (const Json& m : f["skipped"]) all += m["linears"].get<int64_t>();
    std::string name = f["form"];
    if (!f["refused"].is_null()) {
      put_line("  {:<24}none: {}", name, f["refused"].get<std::string>());
      continue;
    }
    put_line("  {:<24}{} of {}{}{}", name, f["linears"].get<int64_t>(), all,
             f["skipped"].empty() ? "" : "; ",
             f["skipped"].empty() ? "" : f["otherwise"].get<std::string>());
    for (const Json& m : f["skipped"])
      put_line("    {} whose {}", m["linears"].get<int64_t>(), m["why"].get<std::string>());
  }
}

}  // namespace

void put_inspection(const Json& j) {
  auto number = [&](const char* key) { return j[key].get<int64_t>(); };
  put_line("{:<14}{}", "folder", j["folder"].get<std::string>());
  put_line("{:<14}{} ({})", "architecture", j["architecture"].get<std::string>(),
           j["family"].get<std::string>());
  put_line("{:<14}{} blocks, hidden {}, {} heads of {} ({} for keys and values), MLP {}", "shape",
           number("layers"), number("hidden"), number("heads"), number("head_dim"),
           number("kv_heads"), number("mlp"));
  put_line("{:<14}{} tokens, context {}", "vocabulary", number("vocab"), number("context"));
  put_line("{:<14}{}", "positions", j["positions"].get<std::string>());
  if (j.contains("experts"))
    put_line("{:<14}{} of {} to a token in {} of the blocks, MLP {}", "experts",
             j["experts"]["per_token"].get<int64_t>(), j["experts"]["number"].get<int64_t>(),
             j["experts"]["layers"].get<int64_t>(), j["experts"]["mlp"].get<int64_t>());
  if (j.contains("window"))
    put_line("{:<14}{} tokens in {} of the blocks", "window", j["window"]["size"].get<int64_t>(),
             j["window"]["layers"].get<int64_t>());
  put_parameters(j["parameters"]);
  if (j.contains("stored"))
    put_stored(j["stored"]);
  else
    put_line("{:<14}no weights here; sizes from config.json alone", "stored");
  put_memory(j);
  put_applicable("Methods", j["methods"]);
  put_applicable("Transforms", j["transforms"]);
  put_applicable(j.contains("stored") ? "Exports of this folder" : "Exports", j["exports"]);
  put_fits(j["forms"]);
  if (!j.contains("tensors")) return;
  put("\n");
  for (const Json& t : j["tensors"])
    put_line("{} {} {} {}", t["name"].get<std::string>(), t["dtype"].get<std::string>(),
             t["shape"].dump(), t["bytes"].get<int64_t>());
}

}  // namespace nibble
