// Resampling of 8-bit RGB pictures: a window of the picture, bilinear or
// averaged, written as bytes or floats. Plain arithmetic, nothing of TensorFlow.
//
// Both filters are triangles. Bilinear interpolation is a triangle that reaches
// one pixel to either side; averaging widens it by the factor of reduction, as
// tf.image.resize(antialias=True) does. Weights outside the picture are left out
// and the rest made to sum to one. The vertical pass turns contiguous rows of
// bytes into one row of 9.7-bit fixed-point numbers; the horizontal pass
// multiplies those by 14-bit weights. Every processor gives the same bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tfstream {

// Pixels in memory, RGB interleaved.
struct Picture {
  const uint8_t* pixels;
  int64_t stride;  // bytes from one row to the next
  int height, width;
};

// A rectangle of a picture, in pixels, fractions allowed. Pixel i covers [i, i + 1].
struct Window {
  double top, left, height, width;
};

// How a picture is held: what must be done to the stored rows to display them.
// Exif's eight orientations are the same eight symmetries of a rectangle.
struct Symmetry {
  bool transposed;     // display[y][x] = stored[x][y], before the mirrorings
  bool mirrored_rows;  // then stored rows are read from the last
  bool mirrored_columns;
};

// Exif orientation 1..8, mirrored left to right when displayed if `flip`.
Symmetry SymmetryOf(int orientation, bool flip);

// The window of the stored picture (of height x width as stored) that shows
// `window` of the displayed one. The mirroring that `flip` asks for is of what
// the window holds, and does not move it.
Window StoredWindow(const Window& window, int orientation, int stored_height, int stored_width);

enum class Antialias { kNever, kAuto, kAlways };

// Whether a window is averaged: kAuto averages from four pixels to one on.
bool Averaged(Antialias antialias, const Window& window, int height, int width);

// What the pixels become: value * scale + offset by channel and, where
// `standardize`, the whole picture to mean 0 and deviation 1.
struct Normalization {
  float scale[3] = {1, 1, 1};
  float offset[3] = {0, 0, 0};
  bool standardize = false;
};

// Resamples `window` of `picture` (both as stored) to `height` x `width` as
// displayed. What of the window lies outside the picture is black.
// T: uint8_t (rounded; no normalization) or float. `out` has height * width * 3.
template <typename T>
void Resample(const Picture& picture, const Window& window, Symmetry symmetry, bool averaged,
              const Normalization& normalization, int height, int width, T* out);

// The passes' inner loops; one set for every processor, one for AVX2.
struct ResampleLoops {
  // out[i] = (a[i] * (32768 - weight) + b[i] * weight) in 9.7 bits; weight 0..32767.
  void (*blend)(const uint8_t* a, const uint8_t* b, int weight, int n, int16_t* out);
  // out[i] = the sum of rows[k][i] * weights[k] in 9.7 bits; weights sum to 16384.
  void (*combine)(const uint8_t* const* rows, const int16_t* weights, int taps, int n,
                  int16_t* out);
  // One row of output: pixel x is the sum over k < 2 * pairs of
  // row[start[x] + k] * weight k, which lies at weights[((k / 2) * width + x) * 8 + k % 2]
  // and, the same, in the three places that follow it.
  void (*bytes)(const int16_t* row, const int* start, const int16_t* weights, int pairs,
                int width, uint8_t* out);
  void (*floats)(const int16_t* row, const int* start, const int16_t* weights, int pairs,
                 int width, const float* scale, const float* offset, float* out);
};
const ResampleLoops& PortableResampleLoops();
const ResampleLoops* Avx2ResampleLoops();  // nullptr where the processor has no AVX2

// Elements that the loops may read past the end of a row of fixed-point numbers,
// and elements they may write past the end of a row of output.
constexpr int kRowSlack = 16;

}  // namespace tfstream
