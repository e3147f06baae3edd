// Exports: a model's weights in the formats of other programs. A format is a file here and a line
// in exports.inc; what every export has in common (checks, side files, model card, nibble.json,
// reading back) is export_model's.
#pragma once

#include <any>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "export/activation_ranges.h"
#include "export/consumer.h"
#include "export/round_trip.h"
#include "model/weights.h"
#include "quant/calibration.h"

namespace nibble {

class ExportedWeights;

// Of a graph of fixed shapes.
struct FixedGraphOptions {
  int64_t context = 0, prefill = 0;  // tokens of its cache, and of a step of its prefill; 0: usual
  bool given() const { return context > 0 || prefill > 0; }
};

struct ExportRequest {
  const Weights& model;  // an artifact or a float model; its side files lie in folder()
  std::string flavour;   // one of the format's, or "": the one that holds the integers exactly
  FixedGraphOptions fixed{};
  // Of the flavours that fix all ranges: null before plan(), filled for write().
  const ActivationRanges* ranges = nullptr;
  // Without: plan() reads shapes, types and schemes, but no codes, scales or zero points, and names
  // in ExportPlan::open what only these tell. (Scales that the format refuses then go unseen.)
  bool values = true;
  int64_t part_bytes = 0;  // gguf: of tensors in each of several files; 0: one file

  const std::string& folder() const { return model.checkpoint().folder(); }
};

// What will be written, known before anything is.
struct ExportPlan {
  std::string flavour;               // as it is named in nibble.json and the card
  bool exact = false;                // every linear's integers and scales are kept
  std::vector<std::string> notes{};  // what is lost, traps of the target; a sentence each
  // What `exact` rests on where a request has no values: "its scales are float16 numbers".
  std::set<std::string> open{};
  std::any draft{};  // of plan() for write(), where the format makes one
};

// How a target treats a linear's inputs, and our own kernels with it.
struct TargetArithmetic {
  Activations activations = Activations::kFloat;
  const char* what = "float inputs";
};

// Which ranges of activations a flavour fixes: those of what enters linears, as scales that the
// model has (MODULE.input_scale), where it has them or always; or of all that linears take and
// give.
enum class FixedRanges : uint8_t { kNone, kInputsIfGiven, kInputs, kAll };

struct ExportFormat {
  const char* name;                       // as --to takes it: "gptq"
  const char* summary;                    // one line for people
  const char* consumer;                   // who loads it: "transformers with gptqmodel, vLLM"
  const char* library;                    // the card's library_name
  std::span<const char* const> flavours;  // those that --to FORMAT:FLAVOUR takes
  // Refuses, in one line, what the format cannot express; writes nothing. request.flavour is one
  // of `flavours` or empty.
  Result<ExportPlan> (*plan)(const ExportRequest& request);
  // Writes the weights and what describes them (config.json); plan() has accepted the request.
  Status (*write)(const ExportRequest& request, const ExportPlan& plan, OutputFolder& out);
  // The weights in what was written to `folder`; null where our Weights open it. Keeps the
  // request's model.
  Result<std::unique_ptr<ExportedWeights>> (*open)(const ExportRequest& request,
                                                   const std::string& folder) = nullptr;
  // Refuses the families that the format cannot express whatever their weights are; null: none.
  // `what` begins the message.
  Status (*check_family)(const DecoderConfig& config, const std::string& what) = nullptr;
  // Of the model's linears in a flavour; null: float inputs.
  TargetArithmetic (*arithmetic)(const Weights& model, const std::string& flavour) = nullptr;
  // Of a flavour as --to has it; null: none.
  FixedRanges (*ranges)(const std::string& flavour) = nullptr;
  bool fixed_shapes = false;  // takes the request's FixedGraphOptions
};

// Declared here, defined in export/NAME.cc.
#define X(name) extern const ExportFormat kExport_##name;
#include "export/exports.inc"
#undef X

// Those of exports.inc, in that order.
std::span<const ExportFormat* const> export_formats();
// Null where there is none of that name.
const ExportFormat* find_export_format(std::string_view name);

struct ExportOptions {
  std::string model, output;
  std::string target;        // FORMAT or FORMAT:FLAVOUR
  std::string base_model;    // for the card: what the weights come from; may be empty
  std::string eval_text;     // what was written is measured on it; empty: nothing is measured
  std::string eval_against;  // the float model beside it; empty: perplexity alone
  int64_t eval_tokens = 0;   // of the text at most; 0: all
  std::optional<ConsumerOptions> consumer;  // which is measured on it too
  FixedGraphOptions fixed;
  RangeOptions ranges;     // of activations, for flavours that fix some
  int64_t part_bytes = 0;  // as ExportRequest's
  bool force = false, dry_run = false;
};

// What was written, run by our own kernels with the target's arithmetic.
struct ExportMeasurement {
  Evaluation loss;
  TargetArithmetic arithmetic;
};

struct ExportReport {
  const ExportFormat* format = nullptr;
  ExportPlan plan;
  std::string source_digest;  // of the model; of a dry run: empty
  Json ranges;                // {"source", "hash", "tokens"} of those that were gathered for it
  RoundTrip round_trip;       // of a dry run: empty
  std::optional<ExportMeasurement> measurement;
  std::string unmeasured = "not measured";  // why there is none
  std::optional<ConsumerLoss> consumer;     // where it was asked for
  int64_t bytes = 0;                        // of all files written
};

// What follows the writing of `folder`. Reads it back into the report; fails where the report's
// plan promised more than was kept.
Status read_back_written(const ExportRequest& request, const ExportOptions& options,
                         const std::string& folder, ExportReport& report);
// Measures it as the options ask: by our own kernels, and in its consumer.
Status measure_written(const ExportRequest& request, const ExportOptions& options,
                       const std::string& folder, ExportReport& report);

// What is in `folder` against the model: by the reader of the format that its nibble.json names,
// else as whatever Weights opens.
Result<RoundTrip> verify_export(const std::string& folder, const std::string& against);

// Refuses an unknown FORMAT:FLAVOUR as a usage error that names the known ones.
Status check_export_target(const std::string& target);
// Of a checked target.
FixedRanges fixed_ranges(const std::string& target);

// The folder `output` holds the export under its final name only when it is whole and was read
// back.
Result<ExportReport> export_model(const ExportOptions& options);

}  // namespace nibble
