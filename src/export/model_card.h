// What an export says of itself: nibble.json for programs, README.md for people and the Hub.
#pragma once

#include "export/export.h"

namespace nibble {

// A model's nibble.json, or what a GGUF file says in its place; an empty object where it has none.
Result<Json> source_record(const std::string& model);

// Of what was measured on the export, or that nothing was: nibble.json's "loss" and the card's
// line.
Json loss_of(const ExportReport& report, const ExportOptions& options);
std::string loss_text(const ExportReport& report);
// The same of what its consumer computed.
std::string consumer_text(const ConsumerLoss& consumer);

// Whether a text has the form of a model's name on the Hub, org/name: safe in YAML as it is.
bool is_hub_name(const std::string& text);

// Writes both into `folder`. Of options.base_model: empty is what the source says of it, if
// anything.
Status describe_export(const ExportRequest& request, const ExportReport& report,
                       const ExportOptions& options, const std::string& folder);
// Of a folder that quantizing writes: the card alone. -> what nibble.json says beside the job's own
// record. origin: that record's "source", "recipe" and "calibration".
Result<Json> describe_artifact(const ExportRequest& request, const ExportReport& report,
                               const ExportOptions& options, const Json& origin,
                               const std::string& folder);

}  // namespace nibble
