// Calibration windows on their way through a model's blocks.
#pragma once

#include "base/scratch.h"
#include "model/block.h"
#include "quant/calibration.h"
#include "quant/statistics.h"

namespace nibble {

// Where windows wait while others pass a stage.
struct WindowShelf {
  std::string folder;     // a file in there that nobody sees, or empty: in memory
  bool restarts = false;  // keeps what entered the block too, for restart()
};

// Windows pass a stage a flow at a time: as many whole windows as make some 2,000 tokens. What a
// flow holds between stages lies on the shelf, so only one flow at a time is in memory that counts.
class WindowFlows {
 public:
  WindowFlows() = default;
  static Result<WindowFlows> create(const DecoderConfig& config, const Embedding& embedding,
                                    const CalibrationSet& windows, const WindowShelf& shelf = {});
  // Bytes that `windows` windows of `length` tokens take on the shelf; the rows of one flow, and
  // what it takes on its way through a stage.
  static int64_t shelf_bytes(const DecoderConfig& config, int64_t windows, int64_t length,
                             bool restarts);
  static int64_t flow_rows(int64_t length);
  static int64_t flow_bytes(const DecoderConfig& config, int64_t length);

  bool empty() const { return parts_.empty(); }
  int64_t count() const { return static_cast<int64_t>(parts_.size()); }
  int64_t rows(int64_t i) const { return part(i).rows; }
  // The windows of flow i, in tokens.
  const std::vector<int64_t>& lengths(int64_t i) const { return part(i).lengths; }
  // Between stages: what enters the next one's linears, (rows, k of those); the residual stream,
  // (rows, hidden); and that as it entered the block, of a shelf with `restarts`.
  std::span<const float> x(int64_t i) const { return take(i, x_at_, part(i).rows * cols_); }
  std::span<const float> h(int64_t i) const { return take(i, 0, part(i).rows * hidden_); }
  std::span<const float> start(int64_t i) const { return take(i, start_at_, h(i).size()); }
  // The rows of flow i that enter a linear: nibble::input_rows.
  InputRows input(int64_t i, const LinearSpec& spec, std::vector<float>& gathered) const;
  // A flow of its own to go on with; it writes to this one's caches.
  Flow flow(int64_t i);
  // What x(i), h(i) and start(i) show will not be looked at for a while.
  void rest(int64_t i) const;

  const Positions& positions() const { return *positions_; }
  // To the first stage's input. May be called anew before the first advance.
  void enter(const Block& block);
  // Puts the residual streams back to what entered the block, or to these of each flow, and enters.
  void restart(const Block& block);
  void restart(const std::vector<std::vector<float>>& h, const Block& block);
  void advance(Stage stage, const Block& block);
  // What the linear's inputs have shown so far, to be finished; tokens() is 0 of an expert that no
  // token has reached.
  InputStatistics statistics(const LinearSpec& spec, InputStatistics::Need need) const;
  // Forgets the block's keys and values.
  void leave(const Block& block);

 private:
  struct Part {
    int64_t rows = 0, offset = 0;  // of the shelf's floats
    std::vector<int64_t> lengths;
    Routes routes;
  };
  const Part& part(int64_t i) const { return parts_[static_cast<size_t>(i)]; }
  // `at`: floats a row that lie before, of a flow on the shelf.
  std::span<float> take(int64_t i, int64_t at, int64_t count) const;
  void put(int64_t i, const Flow& flow);

  const DecoderConfig* config_ = nullptr;
  std::vector<Part> parts_;
  ScratchMemory shelf_;
  int64_t hidden_ = 0, cols_ = 0, x_at_ = 0, start_at_ = 0, row_floats_ = 0;
  bool restarts_ = false;
  std::vector<KvCache> caches_;  // shared by the flows, which pass one after another
  std::shared_ptr<const Positions> positions_;
};

}  // namespace nibble
