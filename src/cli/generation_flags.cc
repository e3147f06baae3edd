#include "cli/generation_flags.h"

namespace nibble {

void add_generation_options(CLI::App& app, GenerationOptions& g) {
  SamplingOptions& s = g.sampling;
  app.add_option("-n,--tokens", g.max_tokens,
                 fmt::format("Write at most N tokens (default: {})", g.max_tokens))
      ->type_name("N");
  app.add_option("--temperature", s.temperature,
                 "Flatten (> 1) or sharpen (< 1) the choice; 0: always the most likely token "
                 "(default: 0.8)")
      ->type_name("T");
  app.add_option("--top-k", s.top_k, "Choose among the K most likely tokens; 0: all (default: 0)")
      ->type_name("K");
  app.add_option("--top-p", s.top_p,
                 "Choose among the most likely tokens that together reach P (default: 1)")
      ->type_name("P");
  app.add_option("--min-p", s.min_p,
                 "Leave out tokens less than P times as likely as the likeliest (default: 0)")
      ->type_name("P");
  app.add_option("--repetition-penalty", s.repetition_penalty,
                 "Above 1: avoid tokens that stand in the text already (default: 1)")
      ->type_name("X");
  app.add_option("--seed", s.seed, "The same seed writes the same text (default: 0)")
      ->type_name("N");
  app.add_flag("--ignore-eos", g.ignore_eos, "Write on after the model's end-of-text token");
}

}  // namespace nibble
