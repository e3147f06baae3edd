#include "quant/job.h"

#include <algorithm>
#include <filesystem>

#include "base/log.h"
#include "formats/compressed_tensors.h"
#include "model/decoder.h"
#include "model/size.h"
#include "quant/imatrix_statistics.h"
#include "quant/journal.h"
#include "quant/outer_matrices.h"
#include "quant/sparse_report.h"
#include "train/distiller.h"

namespace nibble {
namespace {

void add_to_report(QuantizeReport& report, const QuantizedBlock& block) {
  ArtifactRecord& record = report.record;
  for (const QuantizedLinear& l : block.linears) {
    report.zeros += count_zeros(l.matrix);
    report.weights += l.spec.n * l.spec.k;
    report.sparse_linears += l.dense_error.has_value();
    report.dense_wins += l.dense_error && *l.dense_error < l.error;
    record.modules.push_back(
        {l.spec.module, l.matrix.scheme().name(), l.spec.n, l.spec.k, l.error});
  }
  for (const std::string& note : block.notes) {
    log_line(note);
    record.notes.push_back(note);
  }
}

// All blocks learn together where the plan says so. A run that was killed meanwhile begins this
// step anew, which gives the same bytes.
Status run_distillation(const Weights& weights, const Embedding& embedding, const Journal& journal,
                        QuantizeReport& report) {
  ArtifactRecord& record = report.record;
  const DecoderConfig& c = weights.config();
  DistillationPlan plan = record.plan.distillation();
  if (plan.what == DistillationPlan::What::kNothing) return {};
  int64_t need = Distiller::memory(c), most = report.memory.limit;
  if (need > most) {
    record.notes.push_back(
        fmt::format("learning end to end was left out: it takes {:.1f} GB of memory, {:.1f} GB are "
                    "allowed (--max-memory)",
                    static_cast<double>(need) / 1e9, static_cast<double>(most) / 1e9));
    warn("{}", record.notes.back());
    return {};
  }
  using Phase = Journal::Phase;
  std::vector<QuantizedBlock> blocks;
  for (int64_t layer = 0; layer < c.layers; ++layer)
    blocks.push_back(
        *NB_TRY(journal.load(Phase::kQuantized, layer, block_linears(c, layer), record.plan)));
  DistillationReport& r = report.distillation.emplace(
      NB_TRY(distill(weights, record.windows, plan, embedding, blocks)));
  record.notes.push_back(fmt::format(
      "learning end to end, {} steps on {} windows of the text and {} of the model's own: KL on {} "
      "windows held back {:.5f} -> {:.5f}, {}",
      r.steps, r.learned_windows, r.own_windows, r.held_back, r.before, r.after,
      r.kept ? "kept" : "not kept"));
  note("{}", record.notes.back());
  if (!r.kept) return {};
  // Blocks are reported anew; the embedding, which is quantized already, stays.
  std::erase_if(record.modules,
                [&](const ModuleReport& m) { return m.module != embedding_module(c); });
  report.zeros = report.weights = 0;
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    QuantizedBlock& block = blocks[static_cast<size_t>(layer)];
    block.notes.clear();
    NB_OK(journal.save(Phase::kLearned, layer, block));
    add_to_report(report, block);
  }
  return {};
}

// Every block: taken from the journal where an earlier run finished it, else quantized and saved.
Status run_blocks(const Weights& weights, const Embedding& embedding,
                  const Preparation& preparation,
                  const std::shared_ptr<const StatisticsSource>& statistics, const Journal& journal,
                  const std::string& staging, QuantizeReport& report) {
  const DecoderConfig& c = weights.config();
  ArtifactRecord& record = report.record;
  BlockPass pass = NB_TRY(BlockPass::create(
      weights, embedding, record.plan, record.recipe.settings().methods, record.windows,
      preparation, statistics, report.memory.windows_on_disk ? staging : ""));
  Progress progress("block", c.layers);
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    auto done = NB_TRY(
        journal.load(Journal::Phase::kQuantized, layer, block_linears(c, layer), record.plan));
    if (done) {
      NB_OK(pass.replay(layer, *done));
      ++report.blocks_resumed;
    } else {
      done = NB_TRY(pass.quantize(layer));
      NB_OK(journal.save(Journal::Phase::kQuantized, layer, *done));
    }
    add_to_report(report, *done);
    double worst = 0;
    for (const QuantizedLinear& l : done->linears) worst = std::max(worst, l.error);
    progress.step(layer + 1, fmt::format("(largest relative error {:.2g})", worst));
  }
  return {};
}

// Bytes that a module's weight will take: quantized, or as it is stored now.
Result<int64_t> planned_bytes(const Weights& weights, const Plan& plan, const LinearSpec& s) {
  if (const auto& scheme = plan.of(s.module).scheme)
    return QuantizedMatrix::stored_bytes(*scheme, s.n, s.k);
  return s.n * s.k * dtype_size(NB_TRY(weights.stored_type(s.module)));
}

struct PlannedSize {
  int64_t bytes = 0, weights = 0;  // of the blocks' linears
  double bits() const { return 8. * static_cast<double>(bytes) / static_cast<double>(weights); }
};

Result<PlannedSize> planned_size(const Weights& weights, const Plan& plan) {
  const DecoderConfig& c = weights.config();
  PlannedSize out;
  for (int64_t layer = 0; layer < c.layers; ++layer)
    for (const LinearSpec& s : block_linears(c, layer)) {
      out.bytes += NB_TRY(planned_bytes(weights, plan, s));
      out.weights += s.n * s.k;
    }
  return out;
}

// What the job needs on disk: the blocks' files and then the artifact, before the former are gone.
Result<int64_t> disk_need(const Weights& weights, const PlannedSize& size) {
  const DecoderConfig& c = weights.config();
  int64_t kept = 0;
  for (const PendingTensor& t : NB_TRY(weights.float_tensors())) kept += t.bytes();
  for (int64_t layer = 0; layer < c.layers; ++layer)
    for (const LinearSpec& s : block_linears(c, layer))
      kept -= s.n * s.k * dtype_size(NB_TRY(weights.stored_type(s.module)));
  return 2 * size.bytes + kept;
}

std::string why_only(const ArtifactRecord& record) {
  if (record.plan.blocks()) return "";
  if (record.recipe.settings().bitmaps) return kBitmapsOnlyNibble;
  std::vector<QuantizedModule> modules;
  std::vector<std::pair<int64_t, int64_t>> shapes;
  for (const ModuleReport& m : record.modules) {
    modules.push_back({m.module, *Scheme::parse(m.scheme)});
    shapes.emplace_back(m.n, m.k);
  }
  return why_only_nibble(modules, shapes);
}

// What the recipe and its methods ask for beside codes.
Result<Preparation> prepare(ArtifactRecord& record) {
  const RecipeSettings& settings = record.recipe.settings();
  std::vector<std::string> names = settings.transforms;
  record.inputs = {0, settings.float_inputs};
  for (const auto& [module, choice] : record.plan.choices()) {
    if (!choice.scheme) continue;
    const Method& method = *choice.method;
    if (method.transform && std::find(names.begin(), names.end(), method.transform) == names.end())
      names.emplace_back(method.transform);
    if (method.int8_threshold > 0 && choice.scheme->bits != 8)
      return usage("{} takes 8 bits, as w8, not {}", method.name, choice.scheme->name());
    if (method.sparse && record.plan.distillation().what == DistillationPlan::What::kCodes)
      return usage("codes that learn would leave the zeros of {}: --distill scales", method.name);
    record.inputs.threshold = std::max(record.inputs.threshold, method.int8_threshold);
  }
  Preparation p{NB_TRY(find_transforms(names)), settings.transform_options, settings.ranges};
  p.options.seed = settings.calibration.seed;
  if ((record.plan.distillation().what != DistillationPlan::What::kNothing ||
       record.plan.tunes_blocks()) &&
      (p.changes_blocks() || p.changes_biases() || p.ranges || record.inputs.threshold > 0))
    return usage(
        "learning starts from the model's own norms and keeps no scales of inputs: leave block "
        "transforms, input ranges and LLM.int8() out, or learn nothing (another method, --distill "
        "none)");
  if (record.plan.need() == InputStatistics::Need::kDrift && p.changes_blocks())
    return usage("gptaq compares with the float model's inputs: leave transforms of blocks out");
  return p;
}

// An importance matrix has no more than E[x^2].
Status check_imatrix(const Plan& plan) {
  for (const auto& [module, choice] : plan.choices())
    if (choice.scheme && choice.method->need > InputStatistics::Need::kDiagonal &&
        !choice.method->diagonal)
      return usage("{} needs more than an importance matrix holds: take rtn-imatrix, or calibrate",
                   choice.method->name);
  return {};
}

// Statistics on disk in place of windows, where nothing asks for the windows themselves.
Result<std::shared_ptr<const StatisticsSource>> open_statistics(const QuantizeOptions& o,
                                                                const Weights& weights,
                                                                const Preparation& preparation,
                                                                ArtifactRecord& record) {
  const char* asks = record.plan.need() == InputStatistics::Need::kDrift ? "gptaq"
                     : record.plan.distillation().what != DistillationPlan::What::kNothing
                         ? "learning end to end"
                     : record.plan.tunes_blocks()                                  ? "autoround"
                     : preparation.changes_model() || preparation.changes_blocks() ? "a transform"
                     : preparation.ranges ? "a range of inputs"
                                          : nullptr;
  if (asks)
    return usage("{} needs the calibration windows themselves: leave {} out", asks,
                 o.imatrix.empty() ? "--statistics" : "--imatrix");
  record.source_digest = NB_TRY(weights.digest());
  std::shared_ptr<const StatisticsSource> out;
  if (o.imatrix.empty()) {
    out = std::make_shared<StatisticsStore>(
        NB_TRY(StatisticsStore::open(o.statistics, record.source_digest)));
  } else {
    NB_OK(check_imatrix(record.plan));
    out = std::make_shared<ImatrixStatistics>(NB_TRY(ImatrixStatistics::open(o.imatrix)));
  }
  record.windows.source = out->source();
  record.statistics = out->fingerprint();
  return out;
}

constexpr std::string_view kGgufEnding = ".gguf";

Status write_output(const QuantizeOptions& o, OutputFolder& out, const Weights& source,
                    const Weights& floats, const ArtifactRecord& record,
                    std::vector<NamedTensor> tensors) {
  if (!record.plan.blocks()) return write_artifact(out, source, floats, record, std::move(tensors));
  return write_gguf_artifact(out, source, floats, record, std::move(tensors), *o.gguf,
                             o.part_bytes);
}

CalibrationOptions calibration_of(const QuantizeOptions& o) {
  CalibrationOptions calibration = o.recipe.settings().calibration;
  calibration.text = o.calibration;
  return calibration;
}

CalibrationDemand demand_of(const QuantizeOptions& o, const Plan& plan,
                            const Preparation& preparation) {
  using Kind = CalibrationDemand::Kind;
  CalibrationDemand d{Kind::kNothing, calibration_of(o), 0};
  if (std::max(plan.need(), preparation.need()) == InputStatistics::Need::kNothing) return d;
  d.kind = o.gathered() ? Kind::kStatistics : Kind::kWindows;
  std::error_code ec;
  auto size = std::filesystem::file_size(o.calibration, ec);
  if (!ec) d.text_bytes = static_cast<int64_t>(size);
  return d;
}

// What the block pass reads: the source, or what whole-model transforms make of it, each in a
// folder of the job's own. A resumed job makes them again, to the same bytes.
Result<Weights> transform_model(const Weights& source, const Preparation& preparation,
                                const std::string& staging, std::vector<std::string>& notes) {
  Weights now = source;
  for (const Transform* t : preparation.transforms) {
    if (!t->model) continue;
    std::string folder = staging + "/" + t->name;
    NB_OK(t->model(now, folder, preparation.options, notes));
    now = NB_TRY(Weights::open(folder));
  }
  return now;
}

void remove_transformed(const std::string& staging, const Preparation& preparation) {
  std::error_code ec;
  for (const Transform* t : preparation.transforms)
    if (t->model) std::filesystem::remove_all(staging + "/" + t->name, ec);
}

}  // namespace

Status check_source(const QuantizeOptions& o, const Weights& weights) {
  const DecoderConfig& c = weights.config();
  for (const MatrixSpec& m : all_matrices(c)) {
    std::string form = weights.form_of(m.module);
    if (form.empty()) continue;
    if (o.requantize) {
      warn("{}: is quantized already ({}); the losses of both add up", o.model, form);
      return {};
    }
    return fail(
        "{}: is quantized already ({} is {}); quantize the float model instead, or give "
        "--requantize (losses add up), or see nibble dequantize",
        o.model, m.module, form);
  }
  return {};
}

Status check_gguf(const QuantizeOptions& o, const Recipe& recipe, const Weights& weights,
                  const Plan& plan) {
  bool file = o.output.ends_with(kGgufEnding);
  if (o.part_bytes > 0 && (file || !plan.blocks()))
    return usage("--split-size is of GGUF files in a folder: give -o a folder and --scheme q4_k_m");
  if (!plan.blocks()) {
    if (!file) return {};
    return usage("{}: a GGUF file takes schemes of its own, as q4_k_m or q8_0, not {}", o.output,
                 recipe.scheme_summary());
  }
  if (recipe.settings().ranges || !recipe.settings().float_inputs.empty())
    return usage("a GGUF file has no place for what integer inputs need: leave it out");
  if (!o.gguf) return usage("schemes of GGUF are for nibble quantize");
  return o.gguf->check(weights.config(), o.model);
}

Result<QuantizeReport> quantize_model(const QuantizeOptions& o) {
  Weights weights = NB_TRY(Weights::open(o.model, o.lora));
  NB_OK(check_source(o, weights));
  QuantizeReport report;
  ArtifactRecord& record = report.record;
  record.recipe = o.recipe;
  record.plan = NB_TRY(o.recipe.resolve(weights.config()));
  NB_OK(check_gguf(o, o.recipe, weights, record.plan));
  NB_OK(check_output(o.output, o.force, {o.model}));
  Preparation preparation = NB_TRY(prepare(record));
  PlannedSize planned = NB_TRY(planned_size(weights, record.plan));
  int64_t need = NB_TRY(disk_need(weights, planned));
  if (preparation.changes_model()) need += 4 * NB_TRY(measure_size(weights)).parameters;
  report.memory = NB_TRY(plan_memory(weights.config(), record.plan, preparation,
                                     demand_of(o, record.plan, preparation), o.max_memory));
  NB_OK(check_free_space(o.output, need + report.memory.disk));
  std::shared_ptr<const StatisticsSource> statistics;
  if (std::max(record.plan.need(), preparation.need()) != InputStatistics::Need::kNothing) {
    if (o.gathered())
      statistics = NB_TRY(open_statistics(o, weights, preparation, record));
    else
      record.windows = NB_TRY(calibration_windows(o.model, weights, calibration_of(o)));
  }
  if (o.dry_run) {
    report.bits_per_weight = planned.bits();
    return report;
  }
  if (!statistics) record.source_digest = NB_TRY(weights.digest());

  OutputFolder out = NB_TRY(OutputFolder::create(o.output, o.force, o.resume));
  Journal journal =
      NB_TRY(Journal::open(out.staging(), fingerprint(record), record.recipe.settings().bitmaps));
  Weights floats = NB_TRY(transform_model(weights, preparation, out.staging(), record.notes));
  record.plan = NB_TRY(o.recipe.resolve(floats.config()));
  std::vector<NamedTensor> tensors;
  Embedding embedding = NB_TRY(quantize_embedding(floats, record, tensors));
  NB_OK(run_blocks(floats, embedding, preparation, statistics, journal, out.staging(), report));
  NB_OK(run_distillation(floats, embedding, journal, report));
  NB_OK(quantize_head(floats, record, tensors));
  int64_t layers = weights.config().layers;
  for (int64_t layer = 0; layer < layers; ++layer)
    for (NamedTensor& t : NB_TRY(journal.tensors(layer))) tensors.push_back(std::move(t));
  NB_OK(write_output(o, out, weights, floats, record, std::move(tensors)));
  remove_transformed(out.staging(), preparation);
  NB_OK(journal.clear(layers));
  NB_OK(o.output.ends_with(kGgufEnding) ? publish_gguf(out, o.output) : out.publish());

  Weights written = NB_TRY(Weights::open(o.output));
  SizeReport size = NB_TRY(measure_size(written));
  report.bits_per_weight = size.bits_per_weight();
  report.bytes = size.file_bytes;
  size.parameters = NB_TRY(measure_size(weights)).parameters;
  report.file_bits = size.file_bits();
  report.only_nibble = why_only(record);
  return report;
}

}  // namespace nibble
