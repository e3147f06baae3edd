#include "eval/tasks/task.h"

#include <xxhash.h>

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "text/python_text.h"

namespace nibble {

#define X(id) extern const TaskKind kTask_##id;
#include "eval/tasks/tasks.inc"
#undef X

namespace {

constexpr const TaskKind* kKinds[] = {
#define X(id) &kTask_##id,
#include "eval/tasks/tasks.inc"
#undef X
};
constexpr int64_t kLargestFile = int64_t{1} << 30;

struct NamedItem {
  Json json;
  std::string what;
};

// The items of a file's text, `limit` at most where it is not 0.
Result<std::vector<NamedItem>> items_of(const std::string& text, const std::string& path,
                                        size_t limit) {
  std::vector<NamedItem> out;
  auto add = [&](Json item, std::string what) -> Status {
    if (!item.is_object()) return fail("{}: should be a JSON object", what);
    out.push_back({std::move(item), std::move(what)});
    return {};
  };
  auto full = [&] { return limit > 0 && out.size() == limit; };
  if (python_strip(std::string_view(text).substr(0, 64)).starts_with('[')) {
    Json list = NB_TRY(parse_json(text, path));
    if (!list.is_array()) return fail("{}: should be a list of items", path);
    for (Json& item : list) {
      if (full()) break;
      NB_OK(add(std::move(item), fmt::format("{}: item {}", path, out.size())));
    }
  } else {
    size_t number = 0;
    for (size_t at = 0; at < text.size() && !full();) {
      size_t end = std::min(text.find('\n', at), text.size());
      std::string_view line = std::string_view(text).substr(at, end - at);
      std::string what = fmt::format("{}: line {}", path, ++number);
      at = end + 1;
      if (line.find_first_not_of(" \t\r") == line.npos) continue;
      NB_OK(add(NB_TRY(parse_json(line, what)), what));
    }
  }
  if (out.empty()) return fail("{}: has no items", path);
  return out;
}

Result<const TaskKind*> kind_of(const std::string& name, const NamedItem& first) {
  std::string known;
  for (const TaskKind* k : kKinds) {
    if (name.empty() ? first.json.contains(k->field) : name == k->name) return k;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", k->name);
  }
  if (name.empty()) return fail("{}: is an item of no kind of task; known: {}", first.what, known);
  return usage("\"{}\" is not a kind of task; known: {}", name, known);
}

Result<std::vector<int64_t>> read_labels(const std::string& text, const std::string& path) {
  std::vector<int64_t> out;
  for (std::string_view word : python_split(text)) {
    int64_t label = 0;
    auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), label);
    if (error != std::errc() || end != word.data() + word.size())
      return fail("{}: label {} is {}, which is no whole number", path, out.size(),
                  in_quotes(word));
    out.push_back(label);
  }
  return out;
}

Status check_item(const TaskItem& item, const TaskKind& kind, const std::string& what) {
  if (kind.ask != Ask::kChoice) return {};
  auto count = static_cast<int64_t>(item.options.size());
  if (count < 2) return fail("{}: has {} options; a choice needs two", what, count);
  for (const std::string& option : item.options)
    if (option.empty()) return fail("{}: an option is empty", what);
  if (item.label < 0) return fail("{}: has no label; give a file of labels with --labels", what);
  if (item.label >= count)
    return fail("{}: label {} of {} options, the first of which is 0", what, item.label, count);
  return {};
}

std::string digest_of(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (std::string_view part : parts) {
    XXH128_hash_t h = XXH3_128bits(part.data(), part.size());
    out += fmt::format("{:016x}{:016x}", h.high64, h.low64);
  }
  XXH128_hash_t all = XXH3_128bits(out.data(), out.size());
  return fmt::format("{:016x}{:016x}", all.high64, all.low64);
}

}  // namespace

std::span<const TaskKind* const> task_kinds() { return kKinds; }

int64_t likeliest(const Answer& a) {
  return std::max_element(a.log_likelihoods.begin(), a.log_likelihoods.end()) -
         a.log_likelihoods.begin();
}

Result<Task> read_task(const TaskOptions& o) {
  std::string text = NB_TRY(read_file(o.file, kLargestFile)), labels_text;
  if (!o.labels.empty()) labels_text = NB_TRY(read_file(o.labels, kLargestFile));
  auto items = NB_TRY(items_of(text, o.file, static_cast<size_t>(o.limit)));
  Task task;
  task.kind = NB_TRY(kind_of(o.kind, items[0]));
  std::vector<int64_t> labels = NB_TRY(read_labels(labels_text, o.labels));
  if (!labels.empty() && task.kind->ask != Ask::kChoice)
    return usage("--labels is for choices; {} has none", task.kind->name);
  if (!labels.empty() && labels.size() < items.size())
    return fail("{}: {} labels for {} items", o.labels, labels.size(), items.size());
  for (const NamedItem& item : items) {
    TaskItem read = NB_TRY(task.kind->read(item.json, item.what));
    if (!labels.empty()) read.label = labels[task.items.size()];
    NB_OK(check_item(read, *task.kind, item.what));
    task.items.push_back(std::move(read));
  }
  task.digest = digest_of({text, labels_text, task.kind->name});
  return task;
}

}  // namespace nibble
