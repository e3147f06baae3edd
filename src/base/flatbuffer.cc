#include "base/flatbuffer.h"

#include <algorithm>
#include <limits>

#include "base/checked.h"

namespace nibble {
namespace {

constexpr size_t kOffset = 4;      // bytes of a reference and of a length
constexpr size_t kVtableHead = 4;  // a vtable begins with its own size and the table's
constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
constexpr int64_t kMostReads = 16;  // of a file: FlatView::vector

int64_t round_up(int64_t at, int64_t step) { return ceil_div(at, step) * step; }

}  // namespace

FlatTable::Field& FlatTable::add(int slot, Kind kind, size_t size) {
  Field& f = fields_.emplace_back();
  f.slot = slot;
  f.kind = kind;
  f.size = size;
  return f;
}

void FlatTable::table(int slot, FlatTable value) {
  add(slot, Kind::kTable, kOffset).tables.push_back(std::move(value));
}

void FlatTable::tables(int slot, std::vector<FlatTable> values) {
  add(slot, Kind::kTables, kOffset).tables = std::move(values);
}

void FlatTable::blob(int slot, size_t number) { add(slot, Kind::kBlob, kOffset).blob = number; }

// Puts tables one behind another; references are patched once their target's place is known.
class FlatEmitter {
 public:
  explicit FlatEmitter(size_t blobs) : blobs_(blobs) {}

  void root(const FlatTable& table, std::string_view identifier) {
    out_.assign(kOffset, '\0');
    out_.append(identifier);
    refer(0, put(table));
  }

  Result<FlatBytes> finish(std::span<const int64_t> sizes, int64_t alignment) {
    FlatBytes result;
    auto end = static_cast<int64_t>(out_.size());
    for (size_t i = 0; i < sizes.size(); ++i) {
      int64_t at = round_up(end + static_cast<int64_t>(kOffset), alignment);
      end = at + sizes[i];
      result.offsets.push_back(at);
      if (end > kMost) return fail("a flatbuffer holds less than 2 GB");
      for (int64_t from : blobs_[i]) refer(from, at - static_cast<int64_t>(kOffset));
    }
    result.head = std::move(out_);
    return result;
  }

 private:
  using Kind = FlatTable::Kind;

  int64_t here() const { return static_cast<int64_t>(out_.size()); }
  void align(size_t step, size_t ahead = 0) {
    out_.append((step - (out_.size() + ahead) % step) % step, '\0');
  }
  template <class T>
  void set(int64_t at, T value) {
    std::memcpy(out_.data() + at, &value, sizeof value);
  }
  void refer(int64_t from, int64_t to) { set(from, static_cast<uint32_t>(to - from)); }

  // -> where the table begins, behind its vtable.
  int64_t put(const FlatTable& t) {
    std::vector<const FlatTable::Field*> fields;
    size_t slots = 0;
    for (const FlatTable::Field& f : t.fields_) {
      fields.push_back(&f);
      slots = std::max(slots, static_cast<size_t>(f.slot) + 1);
    }
    auto width = [](const FlatTable::Field* f) {
      return f->kind == Kind::kScalar ? f->size : kOffset;
    };
    // Wide ones first, so that they need no gaps between.
    std::ranges::sort(fields, {}, [&](const FlatTable::Field* f) {
      return std::pair(-static_cast<int>(width(f)), f->slot);
    });
    align(2);
    int64_t vtable = here();
    out_.append(kVtableHead + 2 * slots, '\0');
    align(sizeof(uint64_t));
    int64_t table = here();
    set(vtable, static_cast<uint16_t>(kVtableHead + 2 * slots));
    out_.append(kOffset, '\0');
    set(table, static_cast<int32_t>(table - vtable));
    std::vector<int64_t> places;
    for (const auto* f : fields) {
      align(width(f));
      places.push_back(here());
      set(vtable + static_cast<int64_t>(kVtableHead) + 2 * f->slot,
          static_cast<uint16_t>(here() - table));
      out_.append(width(f), '\0');
    }
    set(vtable + 2, static_cast<uint16_t>(here() - table));
    for (size_t i = 0; i < fields.size(); ++i) fill(*fields[i], places[i]);
    return table;
  }

  void fill(const FlatTable::Field& f, int64_t place) {
    switch (f.kind) {
      case Kind::kScalar:
        std::memcpy(out_.data() + place, f.bytes.data(), f.size);
        return;
      case Kind::kBlob:
        blobs_[f.blob].push_back(place);
        return;
      case Kind::kTable:
        return refer(place, put(f.tables[0]));
      case Kind::kTables:
        return refer(place, list(f.tables));
      case Kind::kText:
      case Kind::kVector:
        align(std::max(f.size, kOffset), kOffset);
        refer(place, here());
        length(f.bytes.size() / f.size);
        out_ += f.bytes;
        if (f.kind == Kind::kText) out_ += '\0';
        return;
    }
  }

  void length(size_t count) {
    int64_t at = here();
    out_.append(kOffset, '\0');
    set(at, static_cast<uint32_t>(count));
  }

  int64_t list(const std::vector<FlatTable>& tables) {
    align(kOffset);
    int64_t at = here();
    length(tables.size());
    out_.append(kOffset * tables.size(), '\0');
    for (size_t i = 0; i < tables.size(); ++i)
      refer(at + static_cast<int64_t>(kOffset * (i + 1)), put(tables[i]));
    return at;
  }

  std::string out_;
  std::vector<std::vector<int64_t>> blobs_;  // the references to each
};

Result<FlatBytes> lay_flat(const FlatTable& root, std::string_view identifier,
                           std::span<const int64_t> blob_sizes, int64_t alignment) {
  FlatEmitter emitter(blob_sizes.size());
  emitter.root(root, identifier);
  return emitter.finish(blob_sizes, alignment);
}

Result<FlatView> FlatView::root(std::span<const std::byte> file, std::string_view identifier,
                                const std::string& what) {
  FlatView whole(file, what);
  size_t end = kOffset + identifier.size();
  if (file.size() < end ||
      std::memcmp(file.data() + kOffset, identifier.data(), identifier.size()) != 0)
    return fail("{}: is no file of kind {}", what, identifier);
  return whole.table_at(NB_TRY(whole.follow(0)));
}

FlatView::FlatView(std::span<const std::byte> file, const std::string& what)
    : file_(file),
      what_(what),
      left_(std::make_shared<int64_t>(kMostReads * static_cast<int64_t>(file.size()))) {}

std::unexpected<Error> FlatView::malformed() const {
  return fail("{}: is malformed: it points outside itself", what_);
}

bool FlatView::holds(int64_t at, int64_t size) const {
  auto all = static_cast<int64_t>(file_.size());
  return at >= 0 && size >= 0 && size <= all && at <= all - size;
}

template <class T>
Result<T> FlatView::read(int64_t at) const {
  if (!holds(at, sizeof(T))) return malformed();
  T out;
  std::memcpy(&out, file_.data() + at, sizeof(T));
  return out;
}

Result<int64_t> FlatView::follow(int64_t at) const { return at + NB_TRY(read<uint32_t>(at)); }

Result<FlatView> FlatView::table_at(int64_t at) const {
  FlatView out = *this;
  out.at_ = at;
  out.vtable_ = at - NB_TRY(read<int32_t>(at));
  int64_t size = NB_TRY(read<uint16_t>(out.vtable_));
  out.end_ = at + NB_TRY(read<uint16_t>(out.vtable_ + 2));
  out.fields_ = (size - static_cast<int64_t>(kVtableHead)) / 2;
  if (!holds(out.vtable_, size) || !holds(at, out.end_ - at)) return malformed();
  return out;
}

Result<int64_t> FlatView::field(int slot, int64_t size) const {
  if (slot >= fields_) return 0;
  int64_t offset =
      NB_TRY(read<uint16_t>(vtable_ + static_cast<int64_t>(kVtableHead) + 2 * int64_t{slot}));
  if (offset == 0) return 0;
  if (at_ + offset + size > end_) return malformed();
  return at_ + offset;
}

Result<std::span<const std::byte>> FlatView::vector(int slot, int64_t size) const {
  int64_t at = NB_TRY(field(slot, kOffset));
  if (at == 0) return std::span<const std::byte>{};
  at = NB_TRY(follow(at));
  int64_t bytes = NB_TRY(read<uint32_t>(at)) * size;
  if (!holds(at + static_cast<int64_t>(kOffset), bytes)) return malformed();
  if ((*left_ -= bytes) < 0) return fail("{}: is malformed: its tables share their parts", what_);
  return file_.subspan(static_cast<size_t>(at) + kOffset, static_cast<size_t>(bytes));
}

Result<std::string> FlatView::text(int slot) const {
  std::span<const std::byte> bytes = NB_TRY(vector(slot, 1));
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Result<std::optional<FlatView>> FlatView::table(int slot) const {
  int64_t at = NB_TRY(field(slot, kOffset));
  if (at == 0) return std::nullopt;
  return NB_TRY(table_at(NB_TRY(follow(at))));
}

Result<std::vector<FlatView>> FlatView::tables(int slot) const {
  std::span<const std::byte> references = NB_TRY(vector(slot, kOffset));
  std::vector<FlatView> out;
  for (size_t i = 0; i < references.size(); i += kOffset) {
    int64_t at = references.data() + i - file_.data();
    out.push_back(NB_TRY(table_at(NB_TRY(follow(at)))));
  }
  return out;
}

}  // namespace nibble
