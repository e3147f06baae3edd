#include <memory>

#include "cli/common.h"
#include "export/export.h"

namespace nibble {
namespace {

struct Arguments {
  std::string model, against;
  bool lossless = false, json = false;
};

Result<int> run(const Arguments& a) {
  RoundTrip r = NB_TRY(verify_export(a.model, a.against));
  if (a.json) {
    Json j = {{"model", a.model}, {"against", a.against}};
    j.update(r.json());
    j["bpw"] = r.size.bits_per_weight();
    j["file_bpw"] = r.size.file_bits();
    put_json(j);
  } else {
    put_line("{}", r.verdict());
    if (!r.worst.empty()) put_line("  farthest         {}", r.worst);
    put_line("  bits per weight  {:.3f} (whole file {:.3f})", r.size.bits_per_weight(),
             r.size.file_bits());
  }
  return a.lossless && !r.lossless() ? 1 : 0;
}

CommandBody setup(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  app.add_option("MODEL", a->model, "Folder or file whose weights are read")
      ->required()
      ->type_name("");
  app.add_option("--against", a->against, "What they should be: an artifact or a float model")
      ->required()
      ->type_name("MODEL");
  app.add_flag("--lossless", a->lossless, "Exit 1 unless every weight is equal");
  add_threads_option(app);
  add_json_option(app, a->json);
  app.footer("What a difference costs in text: nibble eval MODEL --against FLOAT --text FILE");
  return [a] { return run(*a); };
}

}  // namespace

extern const Command kCommand_verify = {"verify", "compare an export's weights with their source",
                                        setup};

}  // namespace nibble
