// The inner loops of resampling: plain C++ for every processor, and AVX2.
#include <cstring>

#include "resample.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tfstream {
namespace {

constexpr int kShift = 21;  // 7 bits of the rows and 14 of the weights
constexpr int kHalf = 1 << (kShift - 1);

void Blend(const uint8_t* a, const uint8_t* b, int weight, int n, int16_t* out) {
  for (int i = 0; i < n; ++i)
    out[i] = static_cast<int16_t>(a[i] * 128 + (((b[i] - a[i]) * 128 * weight + 16384) >> 15));
}

void Combine(const uint8_t* const* rows, const int16_t* weights, int taps, int n, int16_t* out) {
  constexpr int kBlock = 256;  // stays in the first-level cache
  int32_t sums[kBlock];
  for (int begin = 0; begin < n; begin += kBlock) {
    const int count = n - begin < kBlock ? n - begin : kBlock;
    for (int i = 0; i < count; ++i) sums[i] = 64;
    for (int k = 0; k < taps; ++k) {
      const uint8_t* row = rows[k] + begin;
      const int weight = weights[k];
      for (int i = 0; i < count; ++i) sums[i] += row[i] * weight;
    }
    for (int i = 0; i < count; ++i) out[begin + i] = static_cast<int16_t>(sums[i] >> 7);
  }
}

// Calls emit(x, r, g, b) with the sums of the pixels from `from` on.
template <typename Emit>
void Pixels(const int16_t* row, const int* start, const int16_t* weights, int pairs, int width,
            int from, Emit emit) {
  for (int x = from; x < width; ++x) {
    int32_t r = 0, g = 0, b = 0;
    const int16_t* in = row + start[x];
    for (int p = 0; p < pairs; ++p, in += 6) {
      const int16_t* w = weights + (static_cast<size_t>(p) * width + x) * 8;
      r += in[0] * w[0] + in[3] * w[1];
      g += in[1] * w[0] + in[4] * w[1];
      b += in[2] * w[0] + in[5] * w[1];
    }
    emit(x, r, g, b);
  }
}

void BytesFrom(const int16_t* row, const int* start, const int16_t* weights, int pairs, int width,
               int from, uint8_t* out) {
  Pixels(row, start, weights, pairs, width, from, [out](int x, int32_t r, int32_t g, int32_t b) {
    out[x * 3] = static_cast<uint8_t>((r + kHalf) >> kShift);
    out[x * 3 + 1] = static_cast<uint8_t>((g + kHalf) >> kShift);
    out[x * 3 + 2] = static_cast<uint8_t>((b + kHalf) >> kShift);
  });
}

void FloatsFrom(const int16_t* row, const int* start, const int16_t* weights, int pairs, int width,
                int from, const float* scale, const float* offset, float* out) {
  Pixels(row, start, weights, pairs, width, from, [=](int x, int32_t r, int32_t g, int32_t b) {
    out[x * 3] = static_cast<float>(r) * scale[0] + offset[0];
    out[x * 3 + 1] = static_cast<float>(g) * scale[1] + offset[1];
    out[x * 3 + 2] = static_cast<float>(b) * scale[2] + offset[2];
  });
}

void Bytes(const int16_t* row, const int* start, const int16_t* weights, int pairs, int width,
           uint8_t* out) {
  BytesFrom(row, start, weights, pairs, width, 0, out);
}

void Floats(const int16_t* row, const int* start, const int16_t* weights, int pairs, int width,
            const float* scale, const float* offset, float* out) {
  FloatsFrom(row, start, weights, pairs, width, 0, scale, offset, out);
}

#if defined(__x86_64__)
#define TFSTREAM_AVX2 __attribute__((target("avx2")))

TFSTREAM_AVX2 __m256i LoadWide(const uint8_t* p) {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

TFSTREAM_AVX2 void BlendAvx2(const uint8_t* a, const uint8_t* b, int weight, int n, int16_t* out) {
  if (n < 16) return Blend(a, b, weight, n, out);
  const __m256i w = _mm256_set1_epi16(static_cast<int16_t>(weight));
  for (int i = 0;;) {
    const __m256i x = _mm256_slli_epi16(LoadWide(a + i), 7);
    const __m256i y = _mm256_slli_epi16(LoadWide(b + i), 7);
    const __m256i sum = _mm256_add_epi16(x, _mm256_mulhrs_epi16(_mm256_sub_epi16(y, x), w));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), sum);
    if (i == n - 16) return;
    i = i + 32 <= n ? i + 16 : n - 16;  // the last sixteen overlap those before
  }
}

// Adds to `sums` the products of 32 columns of two rows: columns 0..3 and 16..19,
// 4..7 and 20..23, 8..11 and 24..27, 12..15 and 28..31.
TFSTREAM_AVX2 inline void AddRows(const uint8_t* a, const uint8_t* b, __m256i weights,
                                  __m256i sums[4]) {
  const __m256i zero = _mm256_setzero_si256();
  const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a));
  const __m256i y = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b));
  const __m256i low = _mm256_unpacklo_epi8(x, y), high = _mm256_unpackhi_epi8(x, y);
  const __m256i quarters[4] = {
      _mm256_unpacklo_epi8(low, zero), _mm256_unpackhi_epi8(low, zero),
      _mm256_unpacklo_epi8(high, zero), _mm256_unpackhi_epi8(high, zero)};
  for (int q = 0; q < 4; ++q)
    sums[q] = _mm256_add_epi32(sums[q], _mm256_madd_epi16(quarters[q], weights));
}

TFSTREAM_AVX2 void CombineAvx2(const uint8_t* const* rows, const int16_t* weights, int taps,
                               int n, int16_t* out) {
  if (n < 32) return Combine(rows, weights, taps, n, out);
  for (int i = 0;;) {
    __m256i sums[4];
    for (__m256i& sum : sums) sum = _mm256_set1_epi32(64);
    int k = 0;
    for (; k + 2 <= taps; k += 2) {
      int32_t pair;
      memcpy(&pair, weights + k, sizeof(pair));
      AddRows(rows[k] + i, rows[k + 1] + i, _mm256_set1_epi32(pair), sums);
    }
    if (k < taps)
      AddRows(rows[k] + i, rows[k] + i, _mm256_set1_epi32(static_cast<uint16_t>(weights[k])),
              sums);
    for (__m256i& sum : sums) sum = _mm256_srai_epi32(sum, 7);
    const __m256i low = _mm256_packs_epi32(sums[0], sums[1]);
    const __m256i high = _mm256_packs_epi32(sums[2], sums[3]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i),
                        _mm256_permute2x128_si256(low, high, 0x20));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i + 16),
                        _mm256_permute2x128_si256(low, high, 0x31));
    if (i == n - 32) return;
    i = i + 64 <= n ? i + 32 : n - 32;
  }
}

// The sums of two output pixels: r g b and a zero in each half.
TFSTREAM_AVX2 inline __m256i TwoPixels(const int16_t* row, const int* start,
                                       const int16_t* weights, int pairs, int width, int x) {
  // r0 g0 b0 r1 g1 b1 .. -> r0 r1 g0 g1 b0 b1 0 0
  const __m256i pair_up = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, -1, -1, -1, -1));
  const int16_t* left = row + start[x];
  const int16_t* right = row + start[x + 1];
  __m256i sum = _mm256_setzero_si256();
  for (int p = 0; p < pairs; ++p) {
    const __m256i in = _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(left + 6 * p))),
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(right + 6 * p)), 1);
    const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(
        weights + (static_cast<size_t>(p) * width + x) * 8));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_shuffle_epi8(in, pair_up), w));
  }
  return sum;
}

template <int kPairs>
TFSTREAM_AVX2 void BytesOf(const int16_t* row, const int* start, const int16_t* weights,
                           int any_pairs, int width, uint8_t* out) {
  const int pairs = kPairs > 0 ? kPairs : any_pairs;
  const __m256i half = _mm256_set1_epi32(kHalf);
  // The bytes of pixels 0 and 2 lie in the low half, those of 1 and 3 in the high.
  const __m128i low = _mm_setr_epi8(0, 1, 2, -1, -1, -1, 4, 5, 6, -1, -1, -1, -1, -1, -1, -1);
  const __m128i high = _mm_setr_epi8(-1, -1, -1, 0, 1, 2, -1, -1, -1, 4, 5, 6, -1, -1, -1, -1);
  int x = 0;
  for (; x + 4 <= width; x += 4) {
    const __m256i a = _mm256_srai_epi32(
        _mm256_add_epi32(TwoPixels(row, start, weights, pairs, width, x), half), kShift);
    const __m256i b = _mm256_srai_epi32(
        _mm256_add_epi32(TwoPixels(row, start, weights, pairs, width, x + 2), half), kShift);
    const __m256i words = _mm256_packs_epi32(a, b);
    const __m256i bytes = _mm256_packus_epi16(words, words);
    const __m128i pixels =
        _mm_or_si128(_mm_shuffle_epi8(_mm256_castsi256_si128(bytes), low),
                     _mm_shuffle_epi8(_mm256_extracti128_si256(bytes, 1), high));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + x * 3), pixels);
  }
  BytesFrom(row, start, weights, pairs, width, x, out);
}

TFSTREAM_AVX2 void BytesAvx2(const int16_t* row, const int* start, const int16_t* weights,
                             int pairs, int width, uint8_t* out) {
  if (pairs == 1) return BytesOf<1>(row, start, weights, pairs, width, out);
  if (pairs == 2) return BytesOf<2>(row, start, weights, pairs, width, out);
  if (pairs == 3) return BytesOf<3>(row, start, weights, pairs, width, out);
  BytesOf<0>(row, start, weights, pairs, width, out);
}

TFSTREAM_AVX2 void FloatsAvx2(const int16_t* row, const int* start, const int16_t* weights,
                              int pairs, int width, const float* scale, const float* offset,
                              float* out) {
  const __m256 times = _mm256_setr_ps(scale[0], scale[1], scale[2], 0, scale[0], scale[1],
                                      scale[2], 0);
  const __m256 plus = _mm256_setr_ps(offset[0], offset[1], offset[2], 0, offset[0], offset[1],
                                     offset[2], 0);
  int x = 0;
  for (; x + 2 <= width; x += 2) {
    const __m256 sums =
        _mm256_cvtepi32_ps(TwoPixels(row, start, weights, pairs, width, x));
    const __m256 values = _mm256_add_ps(_mm256_mul_ps(sums, times), plus);
    // Each store's fourth value is overwritten by the next pixel.
    _mm_storeu_ps(out + x * 3, _mm256_castps256_ps128(values));
    _mm_storeu_ps(out + x * 3 + 3, _mm256_extractf128_ps(values, 1));
  }
  FloatsFrom(row, start, weights, pairs, width, x, scale, offset, out);
}
#endif

}  // namespace

const ResampleLoops& PortableResampleLoops() {
  static constexpr ResampleLoops kLoops = {Blend, Combine, Bytes, Floats};
  return kLoops;
}

const ResampleLoops* Avx2ResampleLoops() {
#if defined(__x86_64__)
  static constexpr ResampleLoops kLoops = {BlendAvx2, CombineAvx2, BytesAvx2, FloatsAvx2};
  if (__builtin_cpu_supports("avx2")) return &kLoops;
#endif
  return nullptr;
}

}  // namespace tfstream
