#include "jinja/compare.h"

#include <string.h>

#include <cmath>

namespace nibble::jinja {
namespace {

// A number's exact value where it is whole, so that 1, 1.0 and True meet.
std::string number_text(const Value& v) {
  if (v.is_integer()) return fmt::format("n{}", v.to_int());
  double real = v.to_real();
  if (real == std::floor(real) && std::fabs(real) < 9e18)
    return fmt::format("n{}", static_cast<int64_t>(real));
  return fmt::format("f{}", real);
}

Result<bool> equal_items(Budget& budget, const std::vector<Value>& a, const std::vector<Value>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (!NB_TRY(equal(budget, a[i], b[i]))) return false;
  return true;
}

Result<bool> equal_dicts(Budget& budget, const Dict& a, const Dict& b) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [hash, place] : a.places) {
    auto it = b.places.find(hash);
    if (it == b.places.end()) return false;
    if (!NB_TRY(equal(budget, a.entries[place].second, b.entries[it->second].second))) return false;
  }
  return true;
}

template <class T>
int order(T a, T b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

int order_numbers(const Value& a, const Value& b) {
  if (a.is_integer() && b.is_integer()) return order(a.to_int(), b.to_int());
  return order(a.to_real(), b.to_real());
}

}  // namespace

size_t find_text(std::string_view text, std::string_view part, size_t from) {
  if (from > text.size()) return text.npos;
  if (part.empty()) return from;
  const void* at = memmem(text.data() + from, text.size() - from, part.data(), part.size());
  return at ? static_cast<size_t>(static_cast<const char*>(at) - text.data()) : text.npos;
}

Result<std::string> hash_text(Budget& budget, const Value& key) {
  switch (key.kind()) {
    case Kind::kText:
      NB_OK(budget.work(key.text().size()));
      return "s" + key.text();
    case Kind::kNone:
      return std::string("0");
    case Kind::kUndefined:
      return std::string("u");
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat:
      return number_text(key);
    case Kind::kTuple: {
      std::string out = "(";
      for (const Value& item : key.sequence().items) {
        std::string part = NB_TRY(hash_text(budget, item));
        out += fmt::format("{}:", part.size()) + part;
        NB_OK(budget.work(out.size()));
      }
      return out;
    }
    case Kind::kList:
    case Kind::kDict:
    case Kind::kView:
      return fail("unhashable type: '{}'", type_name(key));
    default:
      return fmt::format("o{}", fmt::ptr(key.object().get()));
  }
}

Result<bool> equal(Budget& budget, const Value& a, const Value& b) {
  NB_OK(budget.step());
  if (a.is_number() && b.is_number()) return order_numbers(a, b) == 0 && a.to_real() == b.to_real();
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kText:
      NB_OK(budget.work(a.text().size()));
      return a.text() == b.text();
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange:
      return equal_items(budget, a.sequence().items, b.sequence().items);
    case Kind::kDict:
      return equal_dicts(budget, a.dict(), b.dict());
    default:
      return a.object() == b.object();
  }
}

Result<int> compare(Budget& budget, const Value& a, const Value& b) {
  NB_OK(budget.step());
  if (a.is_number() && b.is_number()) return order_numbers(a, b);
  if (a.is(Kind::kText) && b.is(Kind::kText)) {
    NB_OK(budget.work(a.text().size()));
    return a.text().compare(b.text());  // the order of UTF-8 is that of code points
  }
  bool lists =
      (a.is(Kind::kList) && b.is(Kind::kList)) || (a.is(Kind::kTuple) && b.is(Kind::kTuple));
  if (!lists)
    return fail("'<' not supported between instances of '{}' and '{}'", type_name(a), type_name(b));
  const auto &left = a.sequence().items, &right = b.sequence().items;
  for (size_t i = 0; i < left.size() && i < right.size(); ++i)
    if (!NB_TRY(equal(budget, left[i], right[i]))) return compare(budget, left[i], right[i]);
  return order(left.size(), right.size());
}

Result<bool> contains(Budget& budget, const Value& container, const Value& item) {
  if (container.is(Kind::kUndefined)) return false;
  if (container.is(Kind::kText)) {
    if (!item.is(Kind::kText))
      return fail("'in <string>' requires string as left operand, not {}", type_name(item));
    NB_OK(budget.work(container.text().size() + item.text().size()));
    return find_text(container.text(), item.text()) != std::string::npos;
  }
  if (container.is(Kind::kDict)) return NB_TRY(container.dict().find(budget, item)) != nullptr;
  if (!container.is_sequence())
    return fail("argument of type '{}' is not iterable", type_name(container));
  for (const Value& v : container.sequence().items)
    if (NB_TRY(equal(budget, v, item))) return true;
  return false;
}

Result<bool> compare_by(Budget& budget, std::string_view op, const Value& a, const Value& b) {
  if (op == "==") return equal(budget, a, b);
  if (op == "!=") return !NB_TRY(equal(budget, a, b));
  for (const Value* v : {&a, &b})
    if (v->is(Kind::kUndefined)) return fail("{}", why_undefined(*v));
  bool nan = (a.is(Kind::kFloat) && std::isnan(a.to_real())) ||
             (b.is(Kind::kFloat) && std::isnan(b.to_real()));
  int sign = NB_TRY(compare(budget, a, b));
  if (nan) return false;
  if (op == "<") return sign < 0;
  if (op == "<=") return sign <= 0;
  if (op == ">") return sign > 0;
  return sign >= 0;
}

}  // namespace nibble::jinja
