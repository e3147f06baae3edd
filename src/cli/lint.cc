#include <memory>

#include "cli/common.h"
#include "export/onnx/tensorrt.h"

namespace nibble {
namespace {

struct Target {
  const char* name;
  Result<std::vector<std::string>> (*problems)(const std::string& folder);
};

Result<std::vector<std::string>> for_tensorrt(const std::string& folder) {
  return tensorrt_problems(NB_TRY(OnnxFile::open(folder)));
}

constexpr Target kTargets[] = {{"tensorrt", for_tensorrt}};

struct Arguments {
  std::string folder, target;
  bool json = false;
};

Result<int> run(const Arguments& a) {
  const Target* target = nullptr;
  std::vector<const char*> known;
  for (const Target& t : kTargets) {
    known.push_back(t.name);
    if (a.target == t.name) target = &t;
  }
  if (!target)
    return usage("--target {}: unknown; known: {}", in_quotes(a.target), fmt::join(known, ", "));
  std::vector<std::string> problems = NB_TRY(target->problems(a.folder));
  if (a.json) {
    put_json({{"folder", a.folder}, {"target", a.target}, {"problems", problems}});
  } else {
    for (const std::string& line : problems) put_line("{}", line);
    put_line("{}: {} problems for {}", a.folder, problems.size(), a.target);
  }
  return problems.empty() ? 0 : 1;
}

CommandBody setup(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  app.add_option("FOLDER", a->folder, "Exported folder")->required()->type_name("");
  app.add_option("--target", a->target, "Whose rules: tensorrt")->required()->type_name("NAME");
  add_json_option(app, a->json);
  app.footer(
      "Exit code 1 where there are problems.\nExample: nibble lint OUT-trt --target tensorrt");
  return [a] { return run(*a); };
}

}  // namespace

extern const Command kCommand_lint = {"lint", "check an export against its target's rules", setup};

}  // namespace nibble
