// What an export whose graph is ONNX's will hold, known before it is written.
#pragma once

#include <functional>

#include "export/onnx/form.h"

namespace nibble {

// How the matrices are stored, in sum.
struct OnnxForms {
  int64_t rounded = 0;  // linears of blocks whose integers are made here
  std::string spread;   // the form of one that has no integers ("Q4_K", "nf4") and becomes floats
  bool exact = true;    // all matrices
  bool experts = false, outliers = false;
};
// form: how one is stored; `embedding`: its rows are picked.
Result<OnnxForms> sum_forms(
    const ExportRequest& request,
    const std::function<Result<OnnxForm>(const ExportMatrix& m, bool embedding)>& form);
Result<OnnxForms> onnx_forms(const ExportRequest& request, OnnxFlavour flavour);
void note_onnx_rounding(const OnnxForms& forms, ExportPlan& plan);
void note_spread(const OnnxForms& forms, ExportPlan& plan);

bool has_integers(const Weights& model);
// The flavour that was asked for; without one `of_integers` where the model has any, else f32.
std::string onnx_flavour_name(const ExportRequest& request, const char* of_integers);

// `name`: the flavour's in the card. Refused: what the flavour or the graph cannot hold.
Result<ExportPlan> plan_onnx(const ExportRequest& request, OnnxFlavour flavour,
                             const std::string& name);

}  // namespace nibble
