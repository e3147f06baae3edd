#include "export/lint/lint.h"

#include <memory>

#include "cli/common.h"

namespace nibble {
namespace {

struct Arguments {
  std::string folder, target;
  bool json = false;
};

Result<int> run(const Arguments& a) {
  const LintTarget* target = nullptr;
  std::vector<const char*> known;
  for (const LintTarget* t : lint_targets()) {
    known.push_back(t->name);
    if (a.target == t->name) target = t;
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
  app.add_option("--target", a->target, "Whose rules, of the list below")
      ->required()
      ->type_name("NAME");
  add_json_option(app, a->json);
  std::string targets = "Targets:\n";
  for (const LintTarget* t : lint_targets())
    targets += fmt::format("  {:<19}{}\n", t->name, t->summary);
  app.footer(targets +
             "\nExit code 1 where there are problems.\nExample: nibble lint OUT-trt --target "
             "tensorrt");
  return [a] { return run(*a); };
}

}  // namespace

extern const Command kCommand_lint = {"lint", "check an export against its target's rules", setup};

}  // namespace nibble
