#include "jinja/template.h"

#include <gtest/gtest.h>

#include <ctime>

#include "base/test_util.h"

namespace nibble {
namespace {

constexpr int64_t kDay = 1721980800;  // 2024-07-26, 08:00 UTC

Result<std::string> rendered(const std::string& source, const Json& variables = Json::object(),
                             const jinja::Limits& limits = {}) {
  return NB_TRY(JinjaTemplate::parse(source)).render(variables, kDay, limits);
}

// What transformers' Jinja made of the same templates (tools/make_jinja_cases.py).
TEST(Jinja, RendersAsTransformersDoes) {
  auto cases = read_json(NIBBLE_SOURCE_DIR "/tests/jinja_cases.json");
  ASSERT_TRUE(succeeds(cases));
  ASSERT_GT((*cases)["cases"].size(), 150u);
  for (const Json& one : (*cases)["cases"]) {
    std::string source = one["template"];
    auto text = rendered(source, (*cases)["variables"]);
    if (!one.contains("text")) {
      EXPECT_FALSE(text) << source << "\n renders as " << text.value_or("");
    } else if (text) {
      EXPECT_EQ(*text, one["text"].get<std::string>()) << source;
    } else {
      ADD_FAILURE() << source << "\n fails: " << text.error().message;
    }
  }
}

TEST(Jinja, TellsTheDateThatItIsGiven) {
  EXPECT_EQ(rendered("{{ strftime_now('%d %b %Y') }}").value_or(""), "26 Jul 2024");
  EXPECT_TRUE(fails_with(rendered("{{ strftime_now('%99999999d') }}"), "no short text"));
}

TEST(Jinja, ErrorsNameTheLineAndStayOneLine) {
  EXPECT_TRUE(
      fails_with(rendered("a\n{% if 1 %}\n{{ x.y }}{% endif %}"), "line 3: 'x' is undefined"));
  EXPECT_TRUE(fails_with(rendered("\n\n{{ 1 + }}"), "line 3: "));
  EXPECT_TRUE(fails_with(rendered("{{ raise_exception('a\\n\\x1b[31mb') }}"), "a  [31mb"));
}

TEST(Jinja, RefusesWhatHasNoPlaceInAChatTemplate) {
  EXPECT_TRUE(fails_with(rendered("{% include 'x' %}"), "unknown tag"));
  EXPECT_TRUE(fails_with(rendered("{% extends 'x' %}"), "unknown tag"));
  EXPECT_TRUE(fails_with(rendered("\xff"), "UTF-8"));
  EXPECT_TRUE(fails_with(rendered("{{ '\\ud800' }}"), "no character"));
}

// Where Python goes on with larger numbers, this ends.
TEST(Jinja, NumbersBeyond64BitsAreErrors) {
  for (const char* source :
       {"{{ 9223372036854775807 + 1 }}", "{{ 10 ** 19 }}", "{{ 99999999999999999999 }}",
        "{{ -9223372036854775807 - 2 }}", "{{ 4611686018427387904 * 2 }}"})
    EXPECT_TRUE(fails_with(rendered(source), "64 bits")) << source;
}

// Each would take forever, or all memory, or the whole stack.
TEST(Jinja, HostileTemplatesEnd) {
  std::clock_t start = std::clock();  // of this process alone: the machine may be busy
  std::string deep(100'000, '(');
  for (const std::string& source : {
           std::string(
               "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"),
           std::string("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
           std::string("{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}"),
           std::string("{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(99999) %}{% set "
                       "ns.x = ns.x + ns.x %}{% endfor %}"),
           std::string("{% set ns = namespace(x=['a']) %}{% for i in range(99999) %}{% set ns.x = "
                       "ns.x + ns.x %}{% endfor %}"),
           std::string("{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = "
                       "[ns.x, ns.x] %}{% endfor %}"),
           std::string("{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = "
                       "[ns.x, ns.x] %}{% endfor %}{{ ns.x }}"),
           std::string("{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = "
                       "[ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}"),
           std::string("{% set ns = namespace(x=(1,)) %}{% for i in range(60) %}{% set ns.x = "
                       "(ns.x, ns.x) %}{% endfor %}{{ {ns.x: 1} }}"),
           std::string(
               "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, "
               "ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}"),
           std::string("{{ 'a' * 9999999999 }}"),
           std::string("{{ [0] * 9999999999 }}"),
           std::string("{{ 'a'.center(99999999999) }}"),
           std::string("{{ '%999999999d' % 1 }}"),
           std::string("{{ '{:99999999999}'.format(1) }}"),
           std::string("{{ 'a' | indent(99999999) }}"),
           std::string("{{ ('a' * 9999999).replace('', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb') }}"),
           std::string("{% for i in range(99999) %}{{ 'a' * 99999 }}{% endfor %}"),
           std::string("{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}"),
           "{{ " + deep,
           "{{ " + deep + "1",
           "{{ " + std::string(100'000, '-') + "1 }}",
           "{{ " + std::string(100'000, '[') + " }}",
           "{{ a" + std::string(100'000, '[') + " }}",
       }) {
    EXPECT_FALSE(rendered(source)) << source.substr(0, 100);
  }
  std::string ifs, nots = "{{ ", sums = "{{ 1";
  for (int i = 0; i < 50'000; ++i) {
    ifs += "{% if 1 %}";
    nots += "not ";
    sums += " + 1";
  }
  EXPECT_TRUE(fails_with(rendered(ifs), "nested deeper"));
  EXPECT_TRUE(fails_with(rendered(nots + "1 }}"), "nested deeper"));
  EXPECT_TRUE(fails_with(rendered(sums + " }}"), "in a row"));
  EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 120);
}

// A namespace may hold itself: showing it ends, and nothing is lost (the sanitizers' check).
TEST(Jinja, CirclesEnd) {
  EXPECT_TRUE(
      fails_with(rendered("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}"), "deeper"));
  EXPECT_TRUE(
      succeeds(rendered("{% set ns = namespace() %}{% set ns.a = [ns] %}{{ ns == ns.a[0] }}")));
  EXPECT_TRUE(succeeds(
      rendered("{% set ns = namespace() %}{% macro m() %}{% endmacro %}{% set ns.a = m %}")));
  EXPECT_TRUE(succeeds(rendered("{% for i in [1, 2] %}{{ loop.changed(loop) }}{% endfor %}")));
  EXPECT_TRUE(
      succeeds(rendered("{% set ns = namespace() %}{% for i in range(50000) %}"
                        "{% set ns.x = namespace(x=ns.x) %}{% endfor %}")));
}

TEST(Jinja, LimitsAreKept) {
  jinja::Limits limits;
  limits.steps = 1000;
  EXPECT_TRUE(
      fails_with(rendered("{% for i in range(2000) %}{% endfor %}", {}, limits), "1000 steps"));
  limits = {};
  limits.output_bytes = 100;
  EXPECT_TRUE(
      fails_with(rendered("{% for i in range(60) %}ab{% endfor %}", {}, limits), "100 bytes"));
  EXPECT_TRUE(succeeds(rendered("{% for i in range(50) %}ab{% endfor %}", {}, limits)));
  limits = {};
  limits.live_bytes = 1 << 16;
  EXPECT_TRUE(fails_with(rendered("{% set x = 'ab' * 99999 %}", {}, limits), "values take more"));
  // What is dropped counts no more.
  EXPECT_TRUE(succeeds(
      rendered("{% for i in range(99) %}{% set x = 'ab' * 9999 %}{% endfor %}", {}, limits)));
}

}  // namespace
}  // namespace nibble
