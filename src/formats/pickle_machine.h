// The interpreter behind pickle.cc: its values, its stack, and what may be called.
#pragma once

#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>

#include "base/checked.h"
#include "base/json.h"
#include "formats/pickle.h"

namespace nibble::pickle {

inline constexpr size_t kMostValues = 1 << 21;

// All values lie in one arena and name each other by index, so that no nesting, however deep, means
// recursion, and a circle is no leak.
using Id = uint32_t;
struct Node {
  enum class Kind : uint8_t {
    kNone,
    kInt,  // bool too
    kReal,
    kText,
    kTuple,
    kList,
    kDict,  // items: key, value, key, value...
    kGlobal,
    kObject,   // of a scripted module: items as of kDict, once its state is set
    kStorage,  // text: key; number: bytes; dtype
    kTensor,   // items: storage, offset, shape, strides
  };
  Kind kind = Kind::kNone;
  DType dtype = DType::kF32;
  int64_t number = 0;
  std::string_view text = {};
  std::vector<Id> items = {};
};
using Kind = Node::Kind;

struct StorageType {
  std::string_view name;
  DType dtype;
};
inline constexpr StorageType kStorages[] = {
    {"torch.FloatStorage", DType::kF32},     {"torch.HalfStorage", DType::kF16},
    {"torch.BFloat16Storage", DType::kBF16}, {"torch.DoubleStorage", DType::kF64},
    {"torch.LongStorage", DType::kI64},      {"torch.IntStorage", DType::kI32},
    {"torch.ShortStorage", DType::kI16},     {"torch.CharStorage", DType::kI8},
    {"torch.ByteStorage", DType::kU8},       {"torch.BoolStorage", DType::kBool},
};
// What may be called, and what it makes of its arguments.
inline constexpr std::string_view kCallable[] = {
    "collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_parameter", "torch.Size"};
// What may be named only: element types.
inline constexpr std::string_view kNames[] = {
    "torch.float32", "torch.float16", "torch.bfloat16", "torch.float64", "torch.int64",
    "torch.int32",   "torch.int16",   "torch.int8",     "torch.uint8",   "torch.bool"};

// Classes of TorchScript archives, whose source nobody runs here.
inline constexpr std::string_view kScripted = "__torch__.";

inline bool is_allowed(std::string_view name) {
  if (name.starts_with(kScripted)) return true;
  for (const StorageType& s : kStorages)
    if (s.name == name) return true;
  for (std::string_view n : kCallable)
    if (n == name) return true;
  for (std::string_view n : kNames)
    if (n == name) return true;
  return false;
}

class Machine {
 public:
  Machine(std::string_view code, const std::string& what) : code_(code), what_(what) {}

  Result<std::vector<PickledTensor>> run() {
    while (!stopped_) NB_OK(step());
    if (stack_.empty() ||
        (node(stack_.back()).kind != Kind::kDict && node(stack_.back()).kind != Kind::kObject))
      return wrong("holds no dict of tensors");
    std::vector<PickledTensor> out;
    const std::vector<Id>& items = node(stack_.back()).items;
    for (size_t i = 0; i + 1 < items.size(); i += 2) {
      const Node &key = node(items[i]), &value = node(items[i + 1]);
      if (key.kind != Kind::kText || value.kind != Kind::kTensor) continue;
      out.push_back(NB_TRY(tensor_of(key, value)));
    }
    return out;
  }

 private:
  template <class... A>
  std::unexpected<Error> wrong(fmt::format_string<A...> form, A&&... args) const {
    return fail("{}: the pickle {}", what_, fmt::format(form, std::forward<A>(args)...));
  }
  const Node& node(Id id) const { return nodes_[id]; }

  Status push(Node value) {
    if (nodes_.size() == kMostValues) return wrong("holds more than {} values", kMostValues);
    nodes_.push_back(std::move(value));
    stack_.push_back(static_cast<Id>(nodes_.size() - 1));
    return {};
  }
  Result<Id> pop() {
    size_t floor = marks_.empty() ? 0 : marks_.back();
    if (stack_.size() <= floor) return wrong("takes from an empty stack");
    Id id = stack_.back();
    stack_.pop_back();
    return id;
  }
  // What stands above the last mark, which goes.
  Result<std::vector<Id>> pop_mark() {
    if (marks_.empty()) return wrong("has no mark where it needs one");
    auto begin = stack_.begin() + static_cast<ptrdiff_t>(marks_.back());
    std::vector<Id> out(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return out;
  }

  Result<std::string_view> take(uint64_t size) {
    if (size > code_.size() - at_) return wrong("is cut off at byte {}", code_.size());
    std::string_view out = code_.substr(at_, size);
    at_ += size;
    return out;
  }
  template <class T>
  Result<T> number() {
    T value;
    std::memcpy(&value, NB_TRY(take(sizeof value)).data(), sizeof value);
    return value;
  }
  Result<std::string_view> line() {
    size_t end = code_.find('\n', at_);
    if (end == code_.npos) return wrong("is cut off at byte {}", code_.size());
    std::string_view out = code_.substr(at_, end - at_);
    at_ = end + 1;
    return out;
  }

  Status push_int(int64_t value) { return push({.kind = Kind::kInt, .number = value}); }
  Status push_text(std::string_view text) { return push({.kind = Kind::kText, .text = text}); }
  Status push_tuple(size_t count) {
    Node tuple{.kind = Kind::kTuple};
    tuple.items.resize(count);
    for (size_t i = count; i-- > 0;) tuple.items[i] = NB_TRY(pop());
    return push(std::move(tuple));
  }

  // Little-endian two's complement of any length; 64 bits are all that sizes need.
  Status push_long(uint64_t size) {
    std::string_view bytes = NB_TRY(take(size));
    if (size > 8) return wrong("holds a number of {} bytes", size);
    uint64_t value = !bytes.empty() && (bytes.back() & 0x80) ? ~uint64_t{0} : 0;
    if (size > 0) std::memcpy(&value, bytes.data(), size);
    return push_int(static_cast<int64_t>(value));
  }

  Status push_global(std::string_view module, std::string_view name) {
    std::string full = std::string(module) + "." + std::string(name);
    if (!is_allowed(full))
      return wrong(
          "wants to call {}, which no checkpoint of weights needs; it may be malicious, and "
          "nothing of it was run",
          in_quotes(full));
    texts_.push_back(std::make_unique<std::string>(std::move(full)));
    return push({.kind = Kind::kGlobal, .text = *texts_.back()});
  }
  Status stack_global() {
    const Node &name = node(NB_TRY(pop())), &module = node(NB_TRY(pop()));
    if (name.kind != Kind::kText || module.kind != Kind::kText)
      return wrong("names something by no text");
    return push_global(module.text, name.text);
  }

  Status remember(uint64_t slot) {
    if (stack_.empty()) return wrong("remembers from an empty stack");
    if (memo_.size() >= kMostValues) return wrong("remembers more than {} values", kMostValues);
    memo_[slot] = stack_.back();
    return {};
  }
  Status recall(uint64_t slot) {
    auto it = memo_.find(slot);
    if (it == memo_.end()) return wrong("recalls what it never remembered");
    if (stack_.size() >= kMostValues) return wrong("holds more than {} values", kMostValues);
    stack_.push_back(it->second);
    return {};
  }

  // Adds to the list or dict below.
  Status extend(Kind kind, std::span<const Id> items) {
    if (stack_.empty() || node(stack_.back()).kind != kind ||
        (kind == Kind::kDict && items.size() % 2))
      return wrong("adds to what is no list or dict");
    added_ += items.size();
    if (added_ > kMostValues) return wrong("holds more than {} values", kMostValues);
    Node& target = nodes_[stack_.back()];
    target.items.insert(target.items.end(), items.begin(), items.end());
    return {};
  }

  // ('storage', type, key, device, elements)
  Status persistent() {
    const Node& id = node(NB_TRY(pop()));
    bool shaped = id.kind == Kind::kTuple && id.items.size() >= 5;
    if (!shaped || node(id.items[0]).text != "storage" || node(id.items[1]).kind != Kind::kGlobal ||
        node(id.items[2]).kind != Kind::kText || node(id.items[4]).kind != Kind::kInt)
      return wrong("names data in an unknown way");
    for (const StorageType& s : kStorages) {
      if (s.name != node(id.items[1]).text) continue;
      auto bytes = checked_mul(node(id.items[4]).number, dtype_size(s.dtype));
      if (!bytes) return wrong("has a storage of {} elements", node(id.items[4]).number);
      return push({.kind = Kind::kStorage,
                   .dtype = s.dtype,
                   .number = *bytes,
                   .text = node(id.items[2]).text});
    }
    return wrong("has data of the type {}", in_quotes(node(id.items[1]).text));
  }

  Status new_object() {
    NB_TRY(pop());
    const Node& type = node(NB_TRY(pop()));
    if (type.kind != Kind::kGlobal || !type.text.starts_with(kScripted))
      return wrong("makes an object of what is no scripted module");
    return push({.kind = Kind::kObject});
  }

  // An OrderedDict's attributes, as state_dict's _metadata, are left out.
  Status build() {
    Id state = NB_TRY(pop());
    if (stack_.empty()) return wrong("sets the attributes of nothing");
    Node& target = nodes_[stack_.back()];
    if (target.kind == Kind::kDict) return {};
    if (target.kind != Kind::kObject || node(state).kind != Kind::kDict)
      return wrong("sets the attributes of what has none");
    added_ += node(state).items.size();
    if (added_ > kMostValues) return wrong("holds more than {} values", kMostValues);
    target.items = node(state).items;
    return {};
  }

  Status reduce() {
    Id arguments_id = NB_TRY(pop()), callee_id = NB_TRY(pop());
    const Node &callee = node(callee_id), &arguments = node(arguments_id);
    if (callee.kind != Kind::kGlobal || arguments.kind != Kind::kTuple)
      return wrong("calls what cannot be called");
    const std::vector<Id>& given = arguments.items;
    if (callee.text == "collections.OrderedDict") return ordered_dict(given);
    if (callee.text.starts_with("torch._utils._rebuild_tensor") && given.size() >= 4 &&
        node(given[0]).kind == Kind::kStorage)
      return push({.kind = Kind::kTensor, .items = {given[0], given[1], given[2], given[3]}});
    bool passes = (callee.text == "torch._utils._rebuild_parameter" && !given.empty() &&
                   node(given[0]).kind == Kind::kTensor) ||
                  (callee.text == "torch.Size" && given.size() == 1);
    if (!passes) return wrong("calls {} with unknown arguments", in_quotes(callee.text));
    stack_.push_back(given[0]);
    return {};
  }

  Status ordered_dict(const std::vector<Id>& given) {
    Node dict{.kind = Kind::kDict};
    if (!given.empty())
      for (Id pair : node(given[0]).items) {
        if (node(pair).items.size() != 2) return wrong("makes a dict of no pairs");
        dict.items.insert(dict.items.end(), node(pair).items.begin(), node(pair).items.end());
        if (++added_ > kMostValues) return wrong("holds more than {} values", kMostValues);
      }
    return push(std::move(dict));
  }

  Result<std::vector<int64_t>> integers(Id id, const Node& name) {
    const Node& list = node(id);
    constexpr size_t kMostDims = 8;
    bool good =
        (list.kind == Kind::kTuple || list.kind == Kind::kList) && list.items.size() <= kMostDims;
    std::vector<int64_t> out;
    for (Id item : list.items) {
      if (good && node(item).kind == Kind::kInt && node(item).number >= 0)
        out.push_back(node(item).number);
      else
        good = false;
      if (!good) break;
    }
    if (!good) return wrong("has a bad shape or stride for {}", in_quotes(name.text));
    return out;
  }

  Result<PickledTensor> tensor_of(const Node& name, const Node& tensor) {
    const Node &storage = node(tensor.items[0]), &offset = node(tensor.items[1]);
    if (offset.kind != Kind::kInt || offset.number < 0)
      return wrong("has a bad offset for {}", in_quotes(name.text));
    PickledTensor out{std::string(name.text),
                      std::string(storage.text),
                      storage.dtype,
                      storage.number,
                      offset.number,
                      NB_TRY(integers(tensor.items[2], name)),
                      NB_TRY(integers(tensor.items[3], name))};
    if (out.shape.size() != out.strides.size())
      return wrong("has a shape and strides for {} that differ in length", in_quotes(name.text));
    return out;
  }

  Status step();
  Status step_container(char op);
  Status step_value(char op);

  std::string_view code_;
  const std::string& what_;
  size_t at_ = 0, added_ = 0;
  bool stopped_ = false;
  std::vector<Node> nodes_;
  std::vector<Id> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, Id> memo_;
  std::vector<std::unique_ptr<std::string>> texts_;
};

}  // namespace nibble::pickle
