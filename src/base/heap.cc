#include "base/heap.h"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

// A sanitizer has operators of its own, which must stay one set.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define NIBBLE_SANITIZED
#endif
#endif

namespace {

std::atomic<int64_t> allocations{0};

#if !defined(NIBBLE_SANITIZED)
void* allocate(size_t size, size_t align) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (size == 0) size = 1;  // each must be an address of its own
  for (;;) {
    void* p = align <= alignof(std::max_align_t)
                  ? std::malloc(size)
                  : std::aligned_alloc(align, (size + align - 1) / align * align);
    if (p) return p;
    std::new_handler handler = std::get_new_handler();
    if (!handler) throw std::bad_alloc();
    handler();
  }
}
#endif

}  // namespace

int64_t nibble::allocations_so_far() { return allocations.load(std::memory_order_relaxed); }

#if !defined(NIBBLE_SANITIZED)
// [new.delete]: the array and nothrow forms call these.
void* operator new(size_t size) { return allocate(size, 0); }
void* operator new(size_t size, std::align_val_t align) {
  return allocate(size, static_cast<size_t>(align));
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { std::free(p); }
#endif
