#include "base/json.h"

#include <ctime>

#include "base/file.h"
#include "base/test_util.h"

namespace nibble {
namespace {

TEST(ParseJson, KeepsValuesAndOrder) {
  auto j = parse_json(R"({"b":[1,-2,3.5,true,null,"x\u00e9"],"a":{"c":{}, "b":[]},"n":-0})", "t");
  ASSERT_TRUE(succeeds(j));
  EXPECT_EQ(j->dump(), R"({"b":[1,-2,3.5,true,null,"xé"],"a":{"c":{},"b":[]},"n":0})");
  EXPECT_EQ(parse_json(" 7 ", "t").value(), 7);
}

TEST(ParseJson, RefusesDuplicateKeysAtAnyLevel) {
  EXPECT_TRUE(fails_with(parse_json(R"({"a":1,"a":2})", "t"), "\"a\" appears twice"));
  EXPECT_TRUE(fails_with(parse_json(R"([{"x":{"a":1,"b":{"a":1},"a":2}}])", "t"), "appears twice"));
  EXPECT_TRUE(succeeds(parse_json(R"([{"a":1},{"a":1,"b":{"a":1}}])", "t")));
}

TEST(ParseJson, RefusesDeepNesting) {
  auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(succeeds(parse_json(nested(64), "t")));
  EXPECT_TRUE(fails_with(parse_json(nested(65), "t"), "deeper than 64"));
  EXPECT_TRUE(fails_with(parse_json(std::string(100'000, '['), "t"), "deeper than 64"));
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  EXPECT_TRUE(fails_with(parse_json(objects, "t"), "deeper than 64"));
}

TEST(ParseJson, RefusesWhatIsNotJson) {
  for (std::string text : {"", "{", "[1,]", "{\"a\" 1}", "nul", "NaN", "1e999", "\"\\ud800\"",
                           "\"\xff\"", "{} {}", "{'a':1}", "\"a\nb\"", "01", "[1"})
    EXPECT_TRUE(fails_with(parse_json(text, "t"), "not valid JSON")) << text;
  EXPECT_TRUE(fails_with(parse_json(std::string("{\"a\":1}\0x", 9), "t"), "not valid JSON"));
}

// A quadratic parser would need minutes here.
TEST(ParseJson, ReadsManyKeys) {
  std::string text = "{";
  for (int i = 0; i < 200'000; ++i) text += fmt::format("{}\"key{}\":{}", i ? "," : "", i, i);
  auto j = parse_json(text + "}", "t");
  ASSERT_TRUE(succeeds(j));
  EXPECT_EQ(j->size(), 200'000u);
}

TEST(Getters, AnswerWithValueFallbackOrError) {
  Json j = parse_json(R"({"i":5,"neg":-3,"big":18446744073709551615,"f":2.5,"s":"x","b":true,
                          "none":null})",
                      "t")
               .value();
  EXPECT_EQ(get_int(j, "i", {}, "t").value(), 5);
  EXPECT_EQ(get_int(j, "neg", {}, "t").value(), -3);
  EXPECT_EQ(get_int(j, "none", 7, "t").value(), 7);
  EXPECT_TRUE(fails_with(get_int(j, "absent", {}, "cfg"), "cfg: \"absent\" is missing"));
  EXPECT_TRUE(fails_with(get_int(j, "big", {}, "t"), "whole number"));
  EXPECT_TRUE(fails_with(get_int(j, "f", 1, "t"), "whole number"));
  EXPECT_TRUE(fails_with(get_int(j, "s", 1, "t"), "whole number"));
  EXPECT_EQ(get_number(j, "f", {}, "t").value(), 2.5);
  EXPECT_EQ(get_number(j, "i", {}, "t").value(), 5.0);
  EXPECT_TRUE(fails_with(get_number(j, "b", {}, "t"), "number"));
  EXPECT_TRUE(get_bool(j, "b", {}, "t").value());
  EXPECT_TRUE(fails_with(get_bool(j, "i", {}, "t"), "true or false"));
  EXPECT_EQ(get_string(j, "s", {}, "t").value(), "x");
  EXPECT_TRUE(fails_with(get_string(j, "i", {}, "t"), "text"));
  EXPECT_EQ(get_int(Json::array(), "i", 4, "t").value(), 4);
  EXPECT_TRUE(fails_with(get_int(Json(3), "i", {}, "t"), "missing"));
}

TEST(InQuotes, IsOneHarmlessLine) {
  EXPECT_EQ(in_quotes("model.norm"), "\"model.norm\"");
  EXPECT_EQ(in_quotes("a\n\x1b[31m\"é"), R"("a\n\u001b[31m\"\u00e9")");
  EXPECT_EQ(in_quotes("\xff"), R"("\ufffd")");
  EXPECT_LT(in_quotes(std::string(1'000'000, 'x')).size(), 200u);
}

TEST(ReadJson, NamesTheFile) {
  TempFolder folder;
  ASSERT_TRUE(succeeds(write_file(folder / "a.json", "{\"a\":")));
  EXPECT_TRUE(fails_with(read_json(folder / "a.json"), folder / "a.json"));
  EXPECT_TRUE(fails_with(read_json(folder / "none.json"), "cannot open"));
}

}  // namespace
}  // namespace nibble
