// What an export did, for people and for programs: of `export` and of `quantize --export`.
#pragma once

#include <CLI/CLI.hpp>

#include "base/json.h"
#include "export/export.h"

namespace nibble {

struct ExportOutcome {
  ExportOptions options;
  ExportReport report;
  double seconds = 0;
  int64_t peak = 0;  // bytes of anonymous memory
};

// A target as part of a folder's name: gptq-v1 of gptq:v1.
std::string target_name(std::string target);

// Whether a checked target must have ranges of activations.
bool needs_ranges(const std::string& target);

// How what was written is measured: --eval, --tokens, --with-consumer and --python.
struct MeasuringFlags {
  std::string text, python = "python3";
  int64_t tokens = 0;
  bool with_consumer = false;
};
void add_measuring_options(CLI::App& app, MeasuringFlags& flags);
// Refuses flags that lack --eval.
Status set_measuring(const MeasuringFlags& flags, ExportOptions& out);

// export_model, timed.
Result<ExportOutcome> run_export(const ExportOptions& options);

Json export_json(const ExportOutcome& outcome);
void print_export(const ExportOutcome& outcome);

}  // namespace nibble
