// A Jinja template as transformers runs chat templates: jinja2's ImmutableSandboxedEnvironment with
// trim_blocks, lstrip_blocks, break and continue, {% generation %}, raise_exception, strftime_now
// and a tojson that escapes no HTML.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "jinja/budget.h"

namespace nibble {

class JinjaTemplate {
 public:
  // A syntax error names its line.
  static Result<JinjaTemplate> parse(std::string_view source);
  JinjaTemplate(JinjaTemplate&&) noexcept;
  JinjaTemplate& operator=(JinjaTemplate&&) noexcept;
  ~JinjaTemplate();

  // The text that these variables (a JSON object) give. `date`: what strftime_now tells, seconds
  // since 1970; a text as the variable "strftime_now" is told instead, whatever format is asked
  // for. What the template raises is an error; so is more work than the limits allow.
  Result<std::string> render(const Json& variables, int64_t date,
                             const jinja::Limits& limits = {}) const;

 private:
  struct Body;
  explicit JinjaTemplate(std::unique_ptr<Body> body);
  std::unique_ptr<Body> body_;
};

}  // namespace nibble
