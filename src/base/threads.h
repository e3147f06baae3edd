// A persistent pool. Work is cut into chunks whose bounds never depend on the number of threads,
// so a result that sums in chunk order is the same bits for any thread count.
#pragma once

#include <cstdint>
#include <functional>

namespace nibble {

// Sets the number of threads that parallel_for uses, the caller included; 0 = all cores.
void set_threads(int count);
int thread_count();

// Runs body(0) .. body(chunks - 1), each once, on the pool and the caller; returns when all are
// done. Called from inside a body it runs serially. Bodies must not throw.
void parallel_for(int64_t chunks, const std::function<void(int64_t)>& body);

}  // namespace nibble
