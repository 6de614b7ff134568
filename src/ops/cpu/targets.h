// Which instruction sets Highway compiles the kernels for; include before any Highway header. The least is SSE4
// (2008), taken as the baseline so that no scalar fallback is built.
#pragma once

#if defined(__x86_64__)
#define HWY_BASELINE_TARGETS HWY_SSE4
#define HWY_DISABLED_TARGETS HWY_SSSE3
#endif
