// Loops that the compiler makes vector code of.
#pragma once

/// Before a function with such a loop: it is compiled for each width of vector registers, and the
/// machine's is chosen when the program starts. (By a symbol of the dynamic linker's, which runs
/// before ThreadSanitizer can.)
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__)
#define ML_WORKER_FOR_EACH_VECTOR_WIDTH \
  __attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3")))
#else
#define ML_WORKER_FOR_EACH_VECTOR_WIDTH
#endif
