// The library that makes images of decoded pictures where TensorFlow is not imported: the
// kernel's resampling, called through ctypes. Its caller checks what it gives.
#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

#include "../resample.h"

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

// What compilers make fast by themselves, where the processor has the instructions.
#if defined(__x86_64__) && defined(__gnu_linux__)
#define TFSTREAM_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define TFSTREAM_CLONES
#endif

TFSTREAM_CLONES void Part(const uint8_t* __restrict in, size_t pixels, uint8_t* __restrict out) {
  for (size_t i = 0; i < pixels; ++i) {
    out[i] = in[3 * i];
    out[pixels + i] = in[3 * i + 1];
    out[2 * pixels + i] = in[3 * i + 2];
  }
}

TFSTREAM_CLONES void Part(const float* __restrict in, size_t pixels, float* __restrict out) {
  for (size_t i = 0; i < pixels; ++i) {
    out[i] = in[3 * i];
    out[pixels + i] = in[3 * i + 1];
    out[2 * pixels + i] = in[3 * i + 2];
  }
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
  if (request.planes) Part(together.data(), pixels, out);
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
