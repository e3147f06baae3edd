#include "export/onnx/genai_config.h"

#include <algorithm>
#include <array>

#include "export/onnx/decoder_graph.h"

namespace nibble {
namespace {

// Families that the runtime knows by name; others are of its type "decoder", which treats them
// alike.
std::string type_of(const std::string& model_type) {
  constexpr std::array kKnown = {"gemma", "gemma2", "granite", "llama", "mistral",
                                 "phi",   "phi3",   "qwen2",   "qwen3", "smollm3"};
  bool known = std::ranges::any_of(kKnown, [&](const char* k) { return model_type == k; });
  return known ? model_type : "decoder";
}

Json inputs_of(const DecoderConfig& c) {
  Json j = {{"input_ids", "input_ids"},
            {"attention_mask", "attention_mask"},
            {"past_key_names", "past_key_values.%d.key"},
            {"past_value_names", "past_key_values.%d.value"}};
  if (onnx_takes_positions(c)) j["position_ids"] = "position_ids";
  return j;
}

// Products of flavour dq keep float inputs by this; onnxruntime's own level is 4, which rounds them
// to int8.
constexpr const char* kDqLevel = "session.qdq_matmulnbits_accuracy_level";

Json decoder_of(const DecoderConfig& c) {
  return {{"session_options",
           {{"log_id", "onnxruntime-genai"}, {"provider_options", Json::array()}, {kDqLevel, "1"}}},
          {"filename", "model.onnx"},
          {"head_size", c.head_dim},
          {"hidden_size", c.hidden},
          {"num_attention_heads", c.heads},
          {"num_key_value_heads", c.kv_heads},
          {"num_hidden_layers", c.layers},
          {"inputs", inputs_of(c)},
          {"outputs",
           {{"logits", "logits"},
            {"present_key_names", "present.%d.key"},
            {"present_value_names", "present.%d.value"}}}};
}

// A number of generation_config.json's, or what else holds.
Json setting(const Json& generation, const char* key, Json otherwise) {
  auto it = generation.find(key);
  return it != generation.end() && (it->is_number() || it->is_boolean()) ? *it : otherwise;
}

}  // namespace

Result<Json> genai_config(const ExportRequest& request) {
  const DecoderConfig& c = request.model.config();
  Json generation = Json::object();
  if (std::string path = request.folder() + "/generation_config.json"; path_exists(path))
    generation = NB_TRY(read_json(path));
  if (!generation.is_object()) generation = Json::object();
  Json eos = c.eos.empty() ? Json(0) : c.eos.size() == 1 ? Json(c.eos[0]) : Json(c.eos);
  int32_t first = c.eos.empty() ? 0 : c.eos[0];
  const Json& config = request.model.checkpoint().config();
  return Json{{"model",
               {{"type", type_of(c.model_type)},
                {"bos_token_id", c.bos < 0 ? first : c.bos},
                {"eos_token_id", eos},
                {"pad_token_id", setting(config, "pad_token_id", first)},
                {"vocab_size", c.vocab},
                {"context_length", c.context},
                {"decoder", decoder_of(c)}}},
              {"search",
               {{"do_sample", setting(generation, "do_sample", false)},
                {"temperature", setting(generation, "temperature", 1.)},
                {"top_k", setting(generation, "top_k", 50)},
                {"top_p", setting(generation, "top_p", 1.)},
                {"repetition_penalty", setting(generation, "repetition_penalty", 1.)},
                {"min_length", 0},
                {"max_length", c.context},
                {"num_beams", 1},
                {"num_return_sequences", 1},
                // The cache grows by concatenation.
                {"past_present_share_buffer", false}}}};
}

}  // namespace nibble
