// What keeps vector code in registers: functions always inlined, loops fully unrolled.
#pragma once

#if defined(__clang__)
#define NIBBLE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define NIBBLE_UNROLL _Pragma("GCC unroll 8")
#endif
#define NIBBLE_METHOD inline __attribute__((always_inline))
#define NIBBLE_INLINE static NIBBLE_METHOD
