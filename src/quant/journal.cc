#include "quant/journal.h"

#include <filesystem>

#include "formats/compressed_tensors.h"
#include "formats/ggml_tensors.h"
#include "formats/safetensors.h"
#include "formats/sparse_bitmap.h"

namespace nibble {
namespace {

constexpr const char* kJob = "/job.json";

// "scheme = w4, this one has w3" for the first field of `now` that `earlier` has otherwise.
std::string first_difference(const Json& earlier, const Json& now) {
  for (const auto& [key, value] : now.items()) {
    bool there = earlier.is_object() && earlier.contains(key);
    if (there && earlier[key] == value) continue;
    if (there && value.is_object()) {
      if (std::string inner = first_difference(earlier[key], value); !inner.empty()) return inner;
      continue;
    }
    return fmt::format("{} = {}, this one has {}", key, there ? earlier[key].dump() : "nothing",
                       value.dump());
  }
  return "";
}

}  // namespace

std::vector<NamedTensor> job_tensors(const std::string& module, const QuantizedMatrix& w) {
  if (w.scheme().blocks) return {ggml_tensor(module, w)};
  return to_compressed_tensors(module, w);
}

Result<Journal> Journal::open(const std::string& folder, const Json& fingerprint, bool bitmaps) {
  Journal j;
  j.folder_ = folder;
  j.bitmaps_ = bitmaps;
  std::string path = folder + kJob;
  if (!path_exists(path)) {
    // Without its record nothing in the folder can be trusted.
    std::error_code ec;
    for (const auto& entry : std::filesystem::directory_iterator(folder, ec))
      std::filesystem::remove_all(entry, ec);
    NB_OK(write_file(path, fingerprint.dump(2) + "\n"));
    return j;
  }
  Json earlier = NB_TRY(read_json(path));
  if (std::string difference = first_difference(earlier, fingerprint); !difference.empty())
    return fail("{}: the interrupted job had {}; run it without --resume", folder, difference);
  return j;
}

std::string Journal::block_path(Phase phase, int64_t block) const {
  return fmt::format("{}/{}-{:05}.nibble", folder_,
                     phase == Phase::kQuantized ? "block" : "learned", block);
}

bool Journal::has(Phase phase, int64_t block) const {
  return path_exists(block_path(phase, block));
}

Result<std::vector<NamedTensor>> Journal::tensors(int64_t block) const {
  Phase last = has(Phase::kLearned, block) ? Phase::kLearned : Phase::kQuantized;
  return NB_TRY(open_safetensors(block_path(last, block))).tensors;
}

Result<std::optional<QuantizedBlock>> Journal::load(Phase phase, int64_t block,
                                                    const std::vector<LinearSpec>& specs,
                                                    const Plan& plan) const {
  std::string path = block_path(phase, block);
  if (!path_exists(path)) return std::nullopt;
  SafetensorsFile file = NB_TRY(open_safetensors(path));
  Json report = NB_TRY(parse_json(file.metadata["report"], path));
  Checkpoint stored = Checkpoint::of_tensors(path, std::move(file.tensors));
  QuantizedBlock out;
  for (const LinearSpec& spec : specs) {
    const std::optional<Scheme>& scheme = plan.of(spec.module).scheme;
    if (!scheme) continue;
    QuantizedMatrix q =
        scheme->blocks
            ? NB_TRY(read_ggml_tensor(stored, spec.module, *scheme, spec.n, spec.k))
            : NB_TRY(from_compressed_tensors(stored, spec.module, *scheme, spec.n, spec.k));
    double error = NB_TRY(get_number(report, spec.module.c_str(), std::nullopt, path));
    out.linears.push_back({spec, std::move(q), error});
  }
  for (const Json& name : report["replaced"])
    for (const NamedTensor& t : stored.tensors())
      if (t.name == name.get<std::string>()) out.replaced.push_back(t);
  for (const Json& note : report["notes"]) out.notes.push_back(note.get<std::string>());
  return out;
}

Status Journal::save(Phase phase, int64_t block, const QuantizedBlock& quantized) const {
  std::vector<NamedTensor> tensors = quantized.replaced;
  Json report, replaced = Json::array();
  for (const NamedTensor& t : quantized.replaced) replaced.push_back(t.name);
  for (const QuantizedLinear& l : quantized.linears) {
    auto stored = job_tensors(l.spec.module, l.matrix);
    if (bitmaps_) use_bitmap(l.spec.module, l.matrix, stored);
    tensors.insert(tensors.end(), stored.begin(), stored.end());
    report[l.spec.module] = l.error;
  }
  report["notes"] = quantized.notes;
  report["replaced"] = std::move(replaced);
  return write_safetensors(block_path(phase, block), std::move(tensors),
                           {{"report", report.dump()}});
}

Status Journal::clear(int64_t blocks) const {
  std::error_code ec;
  std::filesystem::remove(folder_ + kJob, ec);
  for (int64_t b = 0; b < blocks; ++b)
    for (Phase phase : {Phase::kQuantized, Phase::kLearned})
      if (!ec) std::filesystem::remove(block_path(phase, b), ec);
  if (ec) return fail("{}: cannot remove the job's own files: {}", folder_, ec.message());
  return {};
}

}  // namespace nibble
