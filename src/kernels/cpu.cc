#include "kernels/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace nibble {

#if defined(__x86_64__)
namespace {

struct Leaf {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

Leaf leaf(unsigned id, unsigned sub) {
  Leaf l;
  __get_cpuid_count(id, sub, &l.a, &l.b, &l.c, &l.d);
  return l;
}

bool has(unsigned word, int bit) { return word >> bit & 1u; }

// Which register files the OS saves; a CPU with AVX under an OS without it must not use it.
unsigned saved_state() {
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

// Linux gives a process the tile registers, 8 KB in each of its signal frames, when it asks
// (Documentation/arch/x86/xstate.rst).
bool tiles_permitted() {
  constexpr long kRequest = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_DATA
  return syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
}

}  // namespace

// Bit numbers: Intel SDM volume 2A, CPUID; XCR0: volume 1, 13.3.
CpuFeatures detect_cpu() {
  CpuFeatures f;
  Leaf one = leaf(1, 0), seven = leaf(7, 0), seven_one = leaf(7, 1);
  bool os_xsave = has(one.c, 27);
  if (!os_xsave) return f;
  unsigned state = saved_state();
  bool ymm = (state & 0x6u) == 0x6u;
  bool zmm = (state & 0xe6u) == 0xe6u;
  bool fma = has(one.c, 12), f16c = has(one.c, 29);
  f.avx2 = ymm && fma && f16c && has(seven.b, 5);
  f.avxvnni = f.avx2 && seven.a >= 1 && has(seven_one.a, 4);
  bool avx512 = has(seven.b, 16) && has(seven.b, 17) && has(seven.b, 30) && has(seven.b, 31);
  f.avx512vnni = f.avx2 && zmm && avx512 && has(seven.c, 11);
  bool amx = has(seven.d, 22) && has(seven.d, 24) && has(seven.d, 25);  // BF16, TILE, INT8
  bool tiles = (state & 0x60000u) == 0x60000u && amx;
  f.amx = f.avx512vnni && tiles && tiles_permitted();
  return f;
}
#elif defined(__aarch64__)
// Linux's HWCAP_ASIMDDP and HWCAP2_I8MM (Documentation/arch/arm64/elf_hwcaps.rst).
CpuFeatures detect_cpu() {
  CpuFeatures f;
  f.dotprod = getauxval(AT_HWCAP) >> 20 & 1u;
  f.i8mm = getauxval(AT_HWCAP2) >> 13 & 1u;
  return f;
}
#else
CpuFeatures detect_cpu() { return {}; }
#endif

}  // namespace nibble
