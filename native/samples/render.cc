// Images of decoded pictures where TensorFlow is not imported: the kernel's resampling, called
// through ctypes. Its caller checks what it gives.
#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <vector>

#include "../resample.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

using tfstream::Antialias;

// As tfstream/adapters/resampling.py lays it out.
struct Request {
  const uint8_t* pixels;  // RGB as stored, decoded at 1 / ratio, rows without gaps
  int32_t rows, columns;  // of those pixels
  int32_t ratio;
  int32_t stored_height, stored_width;  // of the whole picture
  int32_t orientation;                  // Exif's, 1 to 8
  int32_t flip;
  int32_t antialias;     // 0 never, 1 from four pixels to one on, 2 always
  double window[4];      // top, left, height, width in pixels of the displayed picture
  int32_t height, width;  // of the image
  int32_t floats;         // 0: uint8 is written
  int32_t planes;         // whether red, green and blue are written apart
  int32_t standardize;
  float scale[3], offset[3];
};

// Red, green and blue apart.
template <typename T>
void Part(const T* in, size_t pixels, T* out, size_t from = 0) {
  for (size_t i = from; i < pixels; ++i)
    for (size_t channel = 0; channel < 3; ++channel) out[channel * pixels + i] = in[3 * i + channel];
}

#if defined(__x86_64__)
__attribute__((target("ssse3"))) void PartSsse3(const uint8_t* in, size_t pixels, uint8_t* out) {
  // Where in three times sixteen bytes the sixteen values of a channel are; -1: not in these.
  static constexpr auto kPlaces = [] {
    struct { int8_t at[3][3][16]; } places{};
    for (int channel = 0; channel < 3; ++channel)
      for (int third = 0; third < 3; ++third)
        for (int i = 0; i < 16; ++i) {
          const int at = 3 * i + channel - 16 * third;
          places.at[channel][third][i] = static_cast<int8_t>(at >= 0 && at < 16 ? at : -1);
        }
    return places;
  }();
  size_t i = 0;
  for (; i + 16 <= pixels; i += 16) {
    __m128i thirds[3];
    for (int third = 0; third < 3; ++third)
      thirds[third] =
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + 3 * i + 16 * third));
    for (int channel = 0; channel < 3; ++channel) {
      __m128i values = _mm_setzero_si128();
      for (int third = 0; third < 3; ++third) {
        const __m128i places =
            _mm_loadu_si128(reinterpret_cast<const __m128i*>(kPlaces.at[channel][third]));
        values = _mm_or_si128(values, _mm_shuffle_epi8(thirds[third], places));
      }
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + channel * pixels + i), values);
    }
  }
  Part(in, pixels, out, i);
}
#endif

// Red, green and blue apart, by whatever the processor has.
template <typename T>
void PartQuickly(const T* in, size_t pixels, T* out) {
#if defined(__x86_64__)
  if constexpr (std::is_same_v<T, uint8_t>) {
    if (__builtin_cpu_supports("ssse3")) return PartSsse3(in, pixels, out);
  }
#endif
  Part(in, pixels, out);
}

template <typename T>
void Write(const Request& request, T* out) {
  const tfstream::Window shown = {request.window[0], request.window[1], request.window[2],
                                  request.window[3]};
  tfstream::Window window = tfstream::StoredWindow(shown, request.orientation,
                                                   request.stored_height, request.stored_width);
  const double ratio = request.ratio;
  window = {window.top / ratio, window.left / ratio, window.height / ratio, window.width / ratio};
  const tfstream::Picture picture = {request.pixels, int64_t{3} * request.columns, request.rows,
                                     request.columns};
  tfstream::Normalization normalization;
  for (int channel = 0; channel < 3; ++channel) {
    normalization.scale[channel] = request.scale[channel];
    normalization.offset[channel] = request.offset[channel];
  }
  normalization.standardize = request.standardize != 0;
  static constexpr Antialias kWhen[] = {Antialias::kNever, Antialias::kAuto, Antialias::kAlways};
  const size_t pixels = static_cast<size_t>(request.height) * request.width;
  // Kept: memory that is new to the process costs as much as the work.
  static thread_local std::vector<T> together;
  together.resize(request.planes ? pixels * 3 : 0);
  tfstream::Resample(
      picture, window, tfstream::SymmetryOf(request.orientation, request.flip != 0),
      tfstream::Averaged(kWhen[request.antialias], shown, request.height, request.width),
      normalization, request.height, request.width, request.planes ? together.data() : out);
  if (request.planes) PartQuickly(together.data(), pixels, out);
}

}  // namespace

// Writes an image of height * width * 3 values to `out`; 0, or 1 where memory does not suffice.
extern "C" __attribute__((visibility("default"))) int32_t TfstreamRender(const Request* request,
                                                                         void* out) {
  try {
    if (request->floats)
      Write(*request, static_cast<float*>(out));
    else
      Write(*request, static_cast<uint8_t*>(out));
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}
