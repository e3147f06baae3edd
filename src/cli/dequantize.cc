#include <memory>

#include "base/file.h"
#include "cli/common.h"
#include "quant/float_folder.h"

namespace nibble {
namespace {

struct Arguments {
  std::string model, lora, output;
  DType type = DType::kBF16;
  bool force = false, dry_run = false, json = false;
};

struct Name {
  const char* name;
  DType type;
};
constexpr Name kTypes[] = {{"bf16", DType::kBF16}, {"f16", DType::kF16}, {"f32", DType::kF32}};

const char* type_name(DType type) {
  for (const Name& n : kTypes)
    if (n.type == type) return n.name;
  return "";
}

Result<int> run(Arguments& a) {
  a.model = NB_TRY(model_folder(a.model));
  NB_OK(check_output(a.output, a.force, {a.model, a.lora}));
  Weights weights = NB_TRY(Weights::open(a.model, a.lora));
  FloatFolderReport report;
  if (!a.dry_run) {
    OutputFolder out = NB_TRY(OutputFolder::create(a.output, a.force, /*keep=*/false));
    report = NB_TRY(write_float_folder(out, weights, a.type));
    NB_OK(out.publish());
  } else {
    for (const PendingTensor& t : NB_TRY(weights.float_tensors(a.type))) report.bytes += t.bytes();
  }
  if (a.json)
    put_json({{"output", a.output},
              {"dtype", type_name(a.type)},
              {"dequantized", report.quantized},
              {"bytes", report.bytes},
              {"written", !a.dry_run}});
  else if (a.dry_run)
    put_line("would write {}: {} in {}", a.output, bytes_text(report.bytes), type_name(a.type));
  else
    put_line("{}: {} in {}, {} matrices dequantized", a.output, bytes_text(report.bytes),
             type_name(a.type), report.quantized);
  return 0;
}

CommandBody setup(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  add_model_option(app, a->model);
  app.add_option("-o,--output", a->output, "Folder to write")->required();
  add_lora_option(app, a->lora);
  std::vector<std::string> names;
  for (const Name& n : kTypes) names.emplace_back(n.name);
  auto set = [a](const std::string& name) {
    for (const Name& n : kTypes)
      if (name == n.name) a->type = n.type;
  };
  app.add_option_function<std::string>("--dtype", set, "bf16, f16 or f32 (default: bf16)")
      ->check(CLI::IsMember(names).description(""))
      ->type_name("TYPE");
  app.add_flag("--force", a->force, "Replace an existing output folder");
  add_dry_run_option(app, a->dry_run);
  add_threads_option(app);
  add_json_option(app, a->json);
  return [a] { return run(*a); };
}

}  // namespace

extern const Command kCommand_dequantize = {
    "dequantize", "write any quantized model back as a folder of floats", setup};

}  // namespace nibble
