// What a tensor is for: the roles of a block's linears and norms, and the names that checkpoints
// give them.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "model/config.h"

namespace nibble {

// A block runs in stages. The linears of one stage read the same input (of a mixture of experts:
// those of one expert do), so they share its statistics and its int8 copy; stage by stage is also
// the order of true-sequential quantization.
enum class Stage : uint8_t { kQkv, kOut, kGateUp, kDown };
inline constexpr std::array kStages = {Stage::kQkv, Stage::kOut, Stage::kGateUp, Stage::kDown};

struct LinearSpec {
  Role role;
  Stage stage;
  std::string module;  // "model.layers.3.self_attn.q_proj"
  int64_t n, k;        // outputs, inputs
  bool bias;
  int64_t expert = -1;  // -1: all tokens pass it
};

// The linears of block `layer` in the order they run, expert by expert within a stage.
std::vector<LinearSpec> block_linears(const DecoderConfig& config, int64_t layer);
// Those of one stage that read the same input, in the order they run.
std::vector<std::vector<LinearSpec>> input_groups(const std::vector<LinearSpec>& linears,
                                                  Stage stage);

// A vector of floats and its name.
struct VectorSpec {
  std::string name;
  int64_t size = 0;
};

// A norm over `size` numbers, `parts` of them one after another with parameters of their own.
struct NormSpec {
  NormPlace place = NormPlace::kAttentionIn;
  std::string module;
  int64_t size = 0, parts = 1;
  bool weight = true, bias = false;
  // As stored, part by part.
  std::vector<VectorSpec> weights() const { return vectors(".weight", weight); }
  std::vector<VectorSpec> biases() const { return vectors(".bias", bias); }

 private:
  std::vector<VectorSpec> vectors(const char* kind, bool there) const;
};
// The norms that block `layer` has.
std::vector<NormSpec> block_norms(const DecoderConfig& config, int64_t layer);
NormSpec final_norm(const DecoderConfig& config);
NormSpec embedding_norm(const DecoderConfig& config);

// A float matrix that is no block's linear.
struct MatrixSpec {
  std::string module;
  int64_t n = 0, k = 0;
};
MatrixSpec router(const DecoderConfig& config, int64_t layer);
MatrixSpec position_matrix(const DecoderConfig& config);
MatrixSpec project_in(const DecoderConfig& config);
MatrixSpec project_out(const DecoderConfig& config);
// Those of them that the model has.
std::vector<MatrixSpec> other_matrices(const DecoderConfig& config);
// Every matrix of the model: embedding, head where it has its own, other_matrices and the blocks'
// linears.
std::vector<MatrixSpec> all_matrices(const DecoderConfig& config);
// Floats beside the linears of the blocks, the embedding, the head and other_matrices: of all
// norms.
std::vector<VectorSpec> norm_vectors(const DecoderConfig& config);

std::string embedding_module(const DecoderConfig& config);
std::string head_module(const DecoderConfig& config);
// The module whose weight the head multiplies by: the embedding's where the two are tied.
std::string head_source(const DecoderConfig& config);
// The head as a linear of the rows behind project_out.
LinearSpec head_linear(const DecoderConfig& config);

}  // namespace nibble
