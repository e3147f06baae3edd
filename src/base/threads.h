// A persistent pool. Work is cut into chunks whose bounds never depend on the number of threads,
// so a result that sums in chunk order is the same bits for any thread count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/function.h"
#include "base/result.h"

namespace nibble {

// Sets the number of threads that parallel_for uses, the caller included; 0 = worthwhile_threads()
// (cores.h). With `pin` each of them, the calling one at once, stays on a core of its own
// (best_first); where that makes more threads than this process has cores, it fails and changes
// nothing.
Status set_threads(int count, bool pin = false);
int thread_count();
bool threads_pinned();

// Runs body(0) .. body(chunks - 1), each once, on the pool and the caller; returns when all are
// done. Called from inside a body it runs serially. Bodies must not throw.
void parallel_for(int64_t chunks, FunctionRef<void(int64_t)> body);

// Work cut into pieces that may run in any order.
struct Pieces {
  int64_t count = 0;
  bool small = false;  // handing any of it to another thread costs more than it gains
  InlineFunction<void(int64_t), 384> body;
};
// All pieces of all jobs as one parallel_for; on this thread if every job is small.
void run_pieces(std::span<const Pieces> jobs);

// Memory that the pieces of one job read, one behind the other.
struct Stretch {
  const std::byte* data = nullptr;
  int64_t piece_bytes = 0, pieces = 0;
};
// Tells what the next run_pieces of these jobs will read, while this thread still prepares it:
// threads that wait for work ask memory for the beginning of their part. Changes no result.
void read_ahead(std::span<const Stretch> next);

}  // namespace nibble
