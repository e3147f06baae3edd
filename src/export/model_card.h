// What an export says of itself: nibble.json for programs, README.md for people and the Hub.
#pragma once

#include "export/export.h"

namespace nibble {

// Writes both into `folder`. `base_model`: the Hub's name of what was quantized, or empty: then
// what the source says of it, if anything.
Status describe_export(const ExportRequest& request, const ExportReport& report,
                       const std::string& base_model, const std::string& folder);

}  // namespace nibble
