#include "cli/measured_recipe.h"

#include "base/json.h"
#include "base/threads.h"
#include "cli/child.h"
#include "cli/work_folder.h"

namespace nibble {
namespace {

Result<Json> run_json(std::vector<std::string> arguments) {
  arguments.push_back("--json");
  // As many threads as this process was told to use, and as it was told to use them.
  arguments.insert(arguments.end(), {"-t", fmt::format("{}", thread_count())});
  if (threads_pinned()) arguments.push_back("--pin");
  std::string what = "the output of nibble " + arguments[0];
  return parse_json(NB_TRY(run_nibble(arguments)), what);
}

Status add_loss(const RecipeTrial& t, const std::string& folder, MeasuredRecipe& out) {
  std::vector<std::string> arguments = {"eval", folder, "--against", t.model, "--text", t.text};
  if (t.tokens > 0) arguments.insert(arguments.end(), {"--tokens", fmt::format("{}", t.tokens)});
  Json seen = NB_TRY(run_json(arguments));
  out.kl = NB_TRY(get_number(seen, "kl_mean", std::nullopt, "nibble eval"));
  out.top1 = NB_TRY(get_number(seen, "top1", std::nullopt, "nibble eval"));
  out.ratio = NB_TRY(get_number(seen, "perplexity_ratio", std::nullopt, "nibble eval"));
  return {};
}

Status add_speed(const RecipeTrial& t, const std::string& folder, MeasuredRecipe& out) {
  Json seen = NB_TRY(run_json({"bench", folder, "-p", fmt::format("{}", t.prompt), "-n", "32",
                               "--warmup", "1", "--runs", "5"}));
  for (const Json& test : seen.at("tests")) {
    double rate = test.at("tokens_per_second").get<double>();
    bool prompt = test.at("test").get<std::string>().starts_with("pp");
    (prompt ? out.prefill : out.decode) = rate;
    if (!prompt) out.joules = NB_TRY(get_number(test, "joules_per_token", 0, "nibble bench"));
  }
  return {};
}

}  // namespace

std::vector<std::string> quantize_arguments(const std::string& model, const std::string& output,
                                            const std::vector<std::string>& recipe) {
  std::vector<std::string> out = {"quantize", model, "-o", output};
  out.insert(out.end(), recipe.begin(), recipe.end());
  return out;
}

Result<MeasuredRecipe> measure_recipe(const RecipeTrial& t,
                                      const std::vector<std::string>& recipe) {
  WorkFolder work = NB_TRY(WorkFolder::create());
  MeasuredRecipe out;
  std::string folder = t.model;
  if (!recipe.empty()) {
    folder = work / "model";
    Json made = NB_TRY(run_json(quantize_arguments(t.model, folder, recipe)));
    out.bits = NB_TRY(get_number(made, "bpw", std::nullopt, "nibble quantize"));
    out.bytes = NB_TRY(get_int(made, "bytes", std::nullopt, "nibble quantize"));
  }
  if (!t.text.empty()) NB_OK(add_loss(t, folder, out));
  if (t.speed) NB_OK(add_speed(t, folder, out));
  return out;
}

}  // namespace nibble
