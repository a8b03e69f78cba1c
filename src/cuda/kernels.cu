// Kernels of our own, for what libtorch's take too long for with short texts; compiled by NVRTC for
// the GPU at hand when a model is loaded (program.cc), without any header.
//
// BFLOAT16   numbers are bfloat16, else float16
// HEAD_SIZE  of attention: 32 or 64
// HIDDEN     numbers in a row of states: a multiple of 8
//
// Matrix products are mma.m16n8k16 of the PTX ISA ("Warp Level Matrix Multiply-Accumulate"), whose
// names are kept: of the 32 lanes of a warp, `group` is lane / 4 and `member` is lane % 4.

using Number = unsigned short;  // 16 bits of either type
using Pair = unsigned int;      // two of them, the first one in the lower half

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffU;

__device__ float to_float(Number number) {
#ifdef BFLOAT16
  return __uint_as_float(static_cast<unsigned>(number) << 16);
#else
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(number));
  return result;
#endif
}

__device__ float first_of(Pair pair) { return to_float(static_cast<Number>(pair & 0xffffU)); }
__device__ float second_of(Pair pair) { return to_float(static_cast<Number>(pair >> 16)); }

__device__ Pair to_pair(float first, float second) {
  Pair pair;
#ifdef BFLOAT16
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
#else
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
#endif
  return pair;
}

/// sums += a · b, 16 rows by 8 columns over 16 numbers.
__device__ void multiply_add(float (&sums)[4], Pair a0, Pair a1, Pair a2, Pair a3, Pair b0,
                             Pair b1) {
#ifdef BFLOAT16
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
#else
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
#endif
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

__device__ float minus_infinity() { return __uint_as_float(0xff800000U); }

/// 2 to the power of x, of which 2^-inf is 0.
__device__ float power_of_two(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

template <int PAIRS>
__device__ void read(const Number* from, Pair (&to)[PAIRS]) {
  if constexpr (PAIRS == 2) {
    const uint2 words = *reinterpret_cast<const uint2*>(from);
    to[0] = words.x;
    to[1] = words.y;
  } else {
    const uint4 words = *reinterpret_cast<const uint4*>(from);
    to[0] = words.x;
    to[1] = words.y;
    to[2] = words.z;
    to[3] = words.w;
  }
}

template <int PAIRS>
__device__ void write(const Pair (&from)[PAIRS], Number* to) {
  if constexpr (PAIRS == 2) {
    *reinterpret_cast<uint2*>(to) = make_uint2(from[0], from[1]);
  } else {
    *reinterpret_cast<uint4*>(to) = make_uint4(from[0], from[1], from[2], from[3]);
  }
}

/// Over the four lanes that share rows of a product.
__device__ float largest_of_members(float x) {
  x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, 1));
  return fmaxf(x, __shfl_xor_sync(kAllLanes, x, 2));
}
__device__ float sum_of_members(float x) {
  x += __shfl_xor_sync(kAllLanes, x, 1);
  return x + __shfl_xor_sync(kAllLanes, x, 2);
}
__device__ float sum_of_warp(float x) {
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    x += __shfl_xor_sync(kAllLanes, x, distance);
  }
  return x;
}

// Attention over texts of at most 8 * TILES tokens: a warp takes one head of one text, 16 queries
// at a time, and has all of their scores in registers. `qkv`: [tokens, 3, heads, HEAD_SIZE];
// `bounds`: [texts + 1], where each text begins and the last one ends; `out`: [tokens, heads,
// HEAD_SIZE]. `scale`: of the scores, times log2(e), for powers of two are what the hardware has.
//
// Which number of a head stands for which row or column of a product is ours to choose, as long as
// both sides agree. It is chosen so that a lane reads and writes up to 16 bytes at once: of queries
// and keys lane `member` has the numbers 8 * member … + 7 of every 32, of values lane `group` has
// HEAD_SIZE / 8 neighbours.
template <int TILES>
__device__ void attend(const Number* qkv, const int* bounds, Number* out, int texts, int heads,
                       float scale) {
  constexpr int kChunks = HEAD_SIZE / 32;
  constexpr int kColumns = HEAD_SIZE / 8;
  const int warp = static_cast<int>(blockIdx.x * (blockDim.x / kWarp) + threadIdx.x / kWarp);
  const int text = warp / heads;
  if (text >= texts) return;
  const int head = warp % heads;
  const int first = bounds[text];
  const int length = bounds[text + 1] - first;
  const int tiles = (length + 7) / 8;
  const int group = static_cast<int>(threadIdx.x % kWarp) / 4;
  const int member = static_cast<int>(threadIdx.x % kWarp) % 4;
  const long long row_size = 3LL * heads * HEAD_SIZE;
  const Number* queries = qkv + first * row_size + head * HEAD_SIZE;
  const Number* keys = queries + heads * HEAD_SIZE;
  const Number* values = keys + heads * HEAD_SIZE;
  // Behind a text's end its last token is read instead, and counts for nothing.
  const auto row = [&](const Number* rows, int index) {
    return rows + min(index, length - 1) * row_size;
  };
  for (int top = 0; top < length; top += 16) {
    Pair upper[kChunks][4];
    Pair lower[kChunks][4];
#pragma unroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      read(row(queries, top + group) + 32 * chunk + 8 * member, upper[chunk]);
      read(row(queries, top + group + 8) + 32 * chunk + 8 * member, lower[chunk]);
    }
    float scores[TILES][4];
    float upper_largest = minus_infinity();
    float lower_largest = minus_infinity();
#pragma unroll
    for (int tile = 0; tile < TILES; ++tile) {
      if (tile >= tiles) continue;
      float(&sums)[4] = scores[tile];
      sums[0] = sums[1] = sums[2] = sums[3] = 0.0F;
#pragma unroll
      for (int chunk = 0; chunk < kChunks; ++chunk) {
        Pair key[4];
        read(row(keys, 8 * tile + group) + 32 * chunk + 8 * member, key);
        const Pair(&a)[4] = upper[chunk];
        const Pair(&b)[4] = lower[chunk];
        multiply_add(sums, a[0], b[0], a[1], b[1], key[0], key[1]);
        multiply_add(sums, a[2], b[2], a[3], b[3], key[2], key[3]);
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if (8 * tile + 2 * member + i >= length) sums[i] = sums[2 + i] = minus_infinity();
      }
      upper_largest = fmaxf(upper_largest, fmaxf(sums[0], sums[1]));
      lower_largest = fmaxf(lower_largest, fmaxf(sums[2], sums[3]));
    }
    upper_largest = scale * largest_of_members(upper_largest);
    lower_largest = scale * largest_of_members(lower_largest);
    float upper_sum = 0.0F;
    float lower_sum = 0.0F;
    Pair weights[TILES][2];
#pragma unroll
    for (int tile = 0; tile < TILES; ++tile) {
      weights[tile][0] = weights[tile][1] = 0;
      if (tile >= tiles) continue;
      float(&sums)[4] = scores[tile];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        sums[i] = power_of_two(scale * sums[i] - (i < 2 ? upper_largest : lower_largest));
      }
      upper_sum += sums[0] + sums[1];
      lower_sum += sums[2] + sums[3];
      weights[tile][0] = to_pair(sums[0], sums[1]);
      weights[tile][1] = to_pair(sums[2], sums[3]);
    }
    float states[kColumns][4] = {};
#pragma unroll
    for (int tile = 0; tile < TILES; tile += 2) {
      if (tile >= tiles) continue;
      Pair value[4][kColumns / 2];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int token = 8 * tile + 2 * member + i % 2 + 8 * (i / 2);
        read(row(values, token) + kColumns * group, value[i]);
      }
#pragma unroll
      for (int column = 0; column < kColumns; ++column) {
        const unsigned half = column % 2 == 0 ? 0x5410U : 0x7632U;
        multiply_add(states[column], weights[tile][0], weights[tile][1], weights[tile + 1][0],
                     weights[tile + 1][1],
                     __byte_perm(value[0][column / 2], value[1][column / 2], half),
                     __byte_perm(value[2][column / 2], value[3][column / 2], half));
      }
    }
    const float upper_part = 1.0F / sum_of_members(upper_sum);
    const float lower_part = 1.0F / sum_of_members(lower_sum);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int query = top + group + 8 * (i / 2);
      const float part = i < 2 ? upper_part : lower_part;
      Pair packed[kColumns / 2];
#pragma unroll
      for (int column = 0; column < kColumns; column += 2) {
        packed[column / 2] = to_pair(part * states[column][i], part * states[column + 1][i]);
      }
      if (query >= length) continue;
      write(packed, out + (static_cast<long long>(first + query) * heads + head) * HEAD_SIZE +
                        kColumns * (2 * member + i % 2));
    }
  }
}

/// `BLOCKS` at least share a multiprocessor: as many as its registers suffice for.
#define SHORT_ATTENTION(TOKENS, BLOCKS)                                                       \
  extern "C" __global__ void __launch_bounds__(128, BLOCKS) short_attention_##TOKENS(         \
      const Number* qkv, const int* bounds, Number* out, int texts, int heads, float scale) { \
    attend<TOKENS / 8>(qkv, bounds, out, texts, heads, scale);                                \
  }
SHORT_ATTENTION(16, 5)
SHORT_ATTENTION(32, 4)
SHORT_ATTENTION(64, 3)
SHORT_ATTENTION(128, 2)

// LayerNorm of x + y, a warp for each row; all of [rows, HIDDEN], `weight` and `bias` (null: none)
// [HIDDEN]. The sum is not rounded, and the variance is that of the differences from the mean.
extern "C" __global__ void __launch_bounds__(128)
    sum_norm(const Number* x, const Number* y, const Number* weight, const Number* bias,
             Number* out, int rows, float epsilon) {
  constexpr int kChunks = HIDDEN / 8;
  constexpr int kTurns = (kChunks + kWarp - 1) / kWarp;
  const int row = static_cast<int>(blockIdx.x * (blockDim.x / kWarp) + threadIdx.x / kWarp);
  if (row >= rows) return;
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const long long start = static_cast<long long>(row) * HIDDEN;
  float sums[kTurns][8];
  float total = 0.0F;
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
    const int chunk = lane + kWarp * turn;
    if (chunk >= kChunks) continue;
    Pair a[4];
    Pair b[4];
    read(x + start + 8 * chunk, a);
    read(y + start + 8 * chunk, b);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      sums[turn][2 * i] = first_of(a[i]) + first_of(b[i]);
      sums[turn][2 * i + 1] = second_of(a[i]) + second_of(b[i]);
      total += sums[turn][2 * i] + sums[turn][2 * i + 1];
    }
  }
  const float mean = sum_of_warp(total) / HIDDEN;
  float squares = 0.0F;
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
    if (lane + kWarp * turn >= kChunks) continue;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      sums[turn][i] -= mean;
      squares += sums[turn][i] * sums[turn][i];
    }
  }
  const float inverse = rsqrtf(sum_of_warp(squares) / HIDDEN + epsilon);
#pragma unroll
  for (int turn = 0; turn < kTurns; ++turn) {
    const int chunk = lane + kWarp * turn;
    if (chunk >= kChunks) continue;
    Pair factors[4];
    Pair added[4] = {0, 0, 0, 0};
    Pair packed[4];
    read(weight + 8 * chunk, factors);
    if (bias != nullptr) read(bias + 8 * chunk, added);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      packed[i] =
          to_pair(inverse * sums[turn][2 * i] * first_of(factors[i]) + first_of(added[i]),
                  inverse * sums[turn][2 * i + 1] * second_of(factors[i]) + second_of(added[i]));
    }
    write(packed, out + start + 8 * chunk);
  }
}
