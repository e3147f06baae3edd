// genai_config.json, which ONNX Runtime GenAI reads beside model.onnx.
// Source: microsoft/onnxruntime-genai, src/config.h and src/models/model_type.h.
#pragma once

#include "export/export.h"

namespace nibble {

Result<Json> genai_config(const ExportRequest& request);

}  // namespace nibble
