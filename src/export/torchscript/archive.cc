#include "export/torchscript/archive.h"

#include <cstring>

#include "base/checked.h"
#include "export/torchscript/script.h"
#include "formats/zip_writer.h"

namespace nibble {
namespace {

constexpr const char* kRoot = "model/";

// One tensor of the module.
struct Member {
  std::string name;
  OnnxType type;
  std::vector<int64_t> dims;
};

const char* storage_of(OnnxType type) {
  switch (type) {
    case OnnxType::kUint8:
      return "ByteStorage";
    case OnnxType::kInt64:
      return "LongStorage";
    case OnnxType::kFloat16:
      return "HalfStorage";
    case OnnxType::kBfloat16:
      return "BFloat16Storage";
    default:
      return "FloatStorage";
  }
}

// The opcodes of protocol 2 that a module needs.
class Pickle {
 public:
  Pickle& raw(std::string_view bytes) {
    out_ += bytes;
    return *this;
  }
  Pickle& global(std::string_view module, std::string_view name) {
    return raw("c").raw(module).raw("\n").raw(name).raw("\n");
  }
  Pickle& text(std::string_view value) {
    return raw("X").number(static_cast<uint32_t>(value.size())).raw(value);
  }
  Pickle& integer(int64_t value) {
    return raw("\x8a\x08").number(value);  // LONG1
  }
  Pickle& tuple(std::span<const int64_t> values) {
    raw("(");
    for (int64_t v : values) integer(v);
    return raw("t");
  }
  const std::string& bytes() const { return out_; }

 private:
  template <class T>
  Pickle& number(T value) {
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    return raw({bytes, sizeof value});
  }
  std::string out_;
};

// _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)
void put_tensor(const Member& m, size_t key, Pickle& out) {
  std::vector<int64_t> strides(m.dims.size());
  int64_t elements = 1;
  for (size_t i = m.dims.size(); i-- > 0; elements *= m.dims[i]) strides[i] = elements;
  out.text(m.name).global("torch._utils", "_rebuild_tensor_v2").raw("((").text("storage");
  out.global("torch", storage_of(m.type)).text(std::to_string(key)).text("cpu").integer(elements);
  out.raw("tQ").integer(0).tuple(m.dims).tuple(strides);
  out.raw("\x89").global("collections", "OrderedDict").raw(")RtR");
}

std::string module_pickle(const std::vector<Member>& members) {
  Pickle out;
  out.raw("\x80\x02").global("__torch__", "Decoder").raw(")\x81}(");
  for (size_t i = 0; i < members.size(); ++i) put_tensor(members[i], i, out);
  return out.text("training").raw("\x89").text("_is_full_backward_hook").raw("Nub.").bytes();
}

std::vector<Member> members_of(const OnnxGraph& graph) {
  std::vector<Member> out;
  for (const OnnxWeight& w : graph.weights()) out.push_back({w.name, w.type, w.dims});
  for (const OnnxConstant* c : torch_constants(graph)) out.push_back({c->name, c->type, c->dims});
  return out;
}

Status write_data(const OnnxGraph& graph, ZipWriter& zip) {
  size_t key = 0;
  auto name = [&] { return fmt::format("{}data/{}", kRoot, key++); };
  for (const OnnxWeight& w : graph.weights()) {
    NB_OK(zip.begin(name(), w.bytes()));
    NB_OK(w.write([&](std::span<const std::byte> piece, std::shared_ptr<const void>) {
      return zip.write(piece);
    }));
    NB_OK(zip.end());
  }
  for (const OnnxConstant* c : torch_constants(graph)) NB_OK(zip.add(name(), c->bytes));
  return {};
}

}  // namespace

Status write_torchscript(const std::string& path, const OnnxGraph& graph) {
  std::string script = NB_TRY(torch_script(graph));
  int64_t total = 0;
  for (const OnnxWeight& w : graph.weights()) total += w.bytes();
  NB_OK(check_free_space(path, total));
  ZipWriter zip = NB_TRY(ZipWriter::create(path));
  std::string root = kRoot;
  NB_OK(zip.add(root + "data.pkl", module_pickle(members_of(graph))));
  NB_OK(zip.add(root + "byteorder", "little"));
  NB_OK(write_data(graph, zip));
  NB_OK(zip.add(root + "code/__torch__.py", script));
  NB_OK(zip.add(root + "constants.pkl", "\x80\x02)."));
  // Operators as torch 1.12 and later have them.
  NB_OK(zip.add(root + "version", "10\n"));
  return zip.finish();
}

}  // namespace nibble
