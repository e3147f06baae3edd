#include "formats/gguf_model.h"

#include <algorithm>
#include <charconv>

#include "base/json.h"

namespace nibble {
namespace {

constexpr std::string_view kEnding = ".gguf";
constexpr int64_t kMostParts = 10'000;

// A split file's name: PREFIX-00002-of-00005.gguf, counted from 1.
struct PartName {
  std::string prefix;
  int64_t part = 0, count = 0;
  std::string of(int64_t number) const {
    return gguf_part_name(prefix + std::string(kEnding), number, count);
  }
};

std::optional<PartName> part_name(std::string_view path) {
  constexpr std::string_view kForm = "-00001-of-00001.gguf";
  constexpr size_t kDigits = 5, kPart = 1, kCount = 10;
  if (path.size() <= kForm.size()) return std::nullopt;
  std::string_view tail = path.substr(path.size() - kForm.size());
  PartName out{std::string(path.substr(0, path.size() - kForm.size())), 0, 0};
  for (auto [at, value] : {std::pair(kPart, &out.part), {kCount, &out.count}}) {
    auto [end, error] = std::from_chars(tail.data() + at, tail.data() + at + kDigits, *value);
    if (error != std::errc() || end != tail.data() + at + kDigits) return std::nullopt;
  }
  bool counts = out.part >= 1 && out.part <= out.count && out.count <= kMostParts;
  if (!counts || out.of(out.part) != path) return std::nullopt;
  return out;
}

Result<std::vector<std::string>> gguf_files(const std::string& folder) {
  std::vector<std::string> out;
  for (const std::string& name : NB_TRY(list_files(folder)))
    if (name.ends_with(kEnding)) out.push_back(folder + "/" + name);
  std::sort(out.begin(), out.end());
  return out;
}

// The files of a model, in order.
Result<std::vector<std::string>> files_of(const std::string& path) {
  std::string first = path;
  size_t there = 0;
  if (is_folder(path)) {
    auto files = NB_TRY(gguf_files(path));
    if (files.empty()) return fail("{}: holds no .gguf file", path);
    first = files.front();
    there = files.size();
  }
  auto part = part_name(first);
  std::vector<std::string> out = {first};
  if (part) out.clear();
  for (int64_t i = 1; part && i <= part->count; ++i) {
    out.push_back(part->of(i));
    if (!path_exists(out.back()))
      return fail("{}: is missing, part {} of the {} of this model", out.back(), i, part->count);
  }
  if (there > out.size())
    return fail("{}: holds GGUF files of several models; name one of them, such as {}", path,
                in_quotes(first.substr(first.rfind('/') + 1)));
  return out;
}

}  // namespace

std::string gguf_part_name(std::string_view file, int64_t part, int64_t count) {
  file.remove_suffix(kEnding.size());
  return fmt::format("{}-{:05}-of-{:05}{}", file, part, count, kEnding);
}

bool is_gguf_model(const std::string& path) {
  if (!is_folder(path)) return path.ends_with(kEnding) && path_exists(path);
  if (path_exists(path + "/config.json")) return false;
  auto files = gguf_files(path);
  return files && !files->empty();
}

Result<GgufModel> GgufModel::open(const std::string& path) {
  if (!path_exists(path)) return fail("{}: no such file", path);
  GgufModel model;
  model.path_ = path;
  for (const std::string& file : NB_TRY(files_of(path)))
    model.parts_.push_back(NB_TRY(open_gguf(file)));
  for (const GgufFile& part : model.parts_)
    for (const GgufTensor& t : part.tensors)
      if (!model.index_.emplace(t.name, Tensor{&t, part.file}).second)
        return fail("{}: holds tensor {}, which an earlier part has too", part.file->path(),
                    in_quotes(t.name));
  NB_OK(model.check_parts());
  return model;
}

Status GgufModel::check_parts() const {
  for (size_t i = 0; i < parts_.size(); ++i) {
    const std::string& path = parts_[i].file->path();
    const auto* count = parts_[i].find<int64_t>("split.count");
    const auto* number = parts_[i].find<int64_t>("split.no");
    auto parts = static_cast<int64_t>(parts_.size());
    if (count && *count != parts && *count > 1)
      return fail("{}: says that it is one of {} parts, but is opened as one of {}", path, *count,
                  parts);
    if (parts > 1 && number && *number != static_cast<int64_t>(i))
      return fail("{}: says that it is part {}, its name says {}", path, *number + 1, i + 1);
  }
  const auto* total = find<int64_t>("split.tensors.count");
  if (total && parts_.size() > 1 && *total != static_cast<int64_t>(index_.size()))
    return fail("{}: its parts should hold {} tensors together, but hold {}", path_, *total,
                index_.size());
  return {};
}

}  // namespace nibble
