#include "jinja/template.h"

#include "jinja/interpreter.h"
#include "jinja/parser.h"

namespace nibble {

struct JinjaTemplate::Body {
  std::vector<jinja::Statement> statements;
};

JinjaTemplate::JinjaTemplate(std::unique_ptr<Body> body) : body_(std::move(body)) {}
JinjaTemplate::JinjaTemplate(JinjaTemplate&&) noexcept = default;
JinjaTemplate& JinjaTemplate::operator=(JinjaTemplate&&) noexcept = default;
JinjaTemplate::~JinjaTemplate() = default;

namespace {

// A template's own message may hold anything; ours are one line.
std::unexpected<Error> one_line(Error error) {
  for (char& c : error.message)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  constexpr size_t kShown = 400;
  if (error.message.size() > kShown) {
    size_t end = kShown;
    while ((error.message[end] & 0xC0) == 0x80) --end;
    error.message = error.message.substr(0, end) + "...";
  }
  return std::unexpected(std::move(error));
}

}  // namespace

Result<JinjaTemplate> JinjaTemplate::parse(std::string_view source) {
  auto statements = jinja::parse_template(source);
  if (!statements) return one_line(std::move(statements).error());
  auto body = std::make_unique<Body>();
  body->statements = std::move(*statements);
  return JinjaTemplate(std::move(body));
}

Result<std::string> JinjaTemplate::render(const Json& variables, int64_t date,
                                          const jinja::Limits& limits) const {
  jinja::Interpreter interpreter(limits, date);
  auto text = interpreter.render(body_->statements, variables);
  if (!text) return one_line(std::move(text).error());
  return text;
}

}  // namespace nibble
