// The library that makes images of decoded pictures where TensorFlow is not imported: the
// kernel's resampling, called through ctypes. Its caller checks what it gives.
#include <cstdint>
#include <new>

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
  int32_t standardize;
  float scale[3], offset[3];
};

template <typename T>
void Write(const Request& request, void* out) {
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
  tfstream::Resample(
      picture, window, tfstream::SymmetryOf(request.orientation, request.flip != 0),
      tfstream::Averaged(kWhen[request.antialias], shown, request.height, request.width),
      normalization, request.height, request.width, static_cast<T*>(out));
}

}  // namespace

// Writes an image of height * width * 3 values to `out`; 0, or 1 where memory does not suffice.
extern "C" __attribute__((visibility("default"))) int32_t TfstreamRender(const Request* request,
                                                                         void* out) {
  try {
    if (request->floats)
      Write<float>(*request, out);
    else
      Write<uint8_t>(*request, out);
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}
