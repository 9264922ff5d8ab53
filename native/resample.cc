#include "resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>

namespace tfstream {
namespace {

constexpr int kWeightBits = 14;  // of averaging, and of the horizontal pass
constexpr int kRowBits = 7;      // the fraction of the fixed-point rows between the passes

// What each output of one axis takes of the inputs.
struct Axis {
  std::vector<int> start;     // first input
  std::vector<int> taps;      // how many inputs; 0 where the output lies outside the picture
  std::vector<int> first;     // where its weights begin
  std::vector<int16_t> weights;  // by output; sum to 2^14
  std::vector<int16_t> blends;   // bilinear only: the second tap's weight in 15 bits
  int low = 0, high = 0;         // the inputs that any output takes
  int widest = 0;                // the largest number of taps
};

// Window [begin, begin + extent) of inputs 0..size-1, to `outputs` outputs.
Axis MakeAxis(double begin, double extent, int size, int outputs, bool averaged) {
  Axis axis;
  axis.start.resize(outputs);
  axis.taps.resize(outputs);
  axis.first.resize(outputs);
  axis.blends.resize(outputs);
  // Pixels beside the window do not show: what comes out is the resized crop.
  const int least = static_cast<int>(std::max(0.0, std::floor(begin)));
  const int most = static_cast<int>(std::min<double>(size, std::ceil(begin + extent)));
  const double scale = extent / outputs;
  const double reach = averaged ? std::max(scale, 1.0) : 1.0;
  std::vector<double> raw;
  axis.weights.reserve(static_cast<size_t>(outputs) * 2);
  axis.low = size;
  for (int i = 0; i < outputs; ++i) {
    const double centre = begin + (i + 0.5) * scale;
    axis.first[i] = static_cast<int>(axis.weights.size());
    if (!(centre >= least && centre < most)) continue;  // black
    const int from = std::max(least, static_cast<int>(std::floor(centre - reach + 0.5)));
    const int to = std::min(most, static_cast<int>(std::ceil(centre + reach - 0.5)));
    raw.clear();
    double sum = 0;
    for (int j = from; j < to; ++j) {
      raw.push_back(std::max(0.0, 1.0 - std::fabs(j + 0.5 - centre) / reach));
      sum += raw.back();
    }
    // Rounding the running sum, not each weight, keeps the whole exact.
    const double share = 1 / sum;
    double running = 0;
    int before = 0;
    for (double weight : raw) {
      running += weight * share;
      const int now = static_cast<int>(running * (1 << kWeightBits) + 0.5);
      axis.weights.push_back(static_cast<int16_t>(now - before));
      before = now;
    }
    axis.start[i] = from;
    axis.taps[i] = to - from;
    if (to - from == 2)
      axis.blends[i] = static_cast<int16_t>(std::min(32767.0, raw[1] * share * 32768 + 0.5));
    axis.low = std::min(axis.low, from);
    axis.high = std::max(axis.high, to);
    axis.widest = std::max(axis.widest, to - from);
  }
  if (axis.high == 0) axis.low = 0;
  return axis;
}

// The horizontal axis as the inner loops want it (see ResampleLoops).
struct Columns {
  std::vector<int> start;
  std::vector<int16_t> weights;
  int pairs;
};

Columns MakeColumns(const Axis& axis, bool mirrored) {
  const int width = static_cast<int>(axis.start.size());
  Columns columns;
  columns.pairs = (axis.widest + 1) / 2;
  columns.start.resize(width);
  columns.weights.assign(static_cast<size_t>(columns.pairs) * width * 8, 0);
  for (int x = 0; x < width; ++x) {
    const int i = mirrored ? width - 1 - x : x;
    columns.start[x] = axis.taps[i] > 0 ? (axis.start[i] - axis.low) * 3 : 0;
    for (int k = 0; k < axis.taps[i]; ++k)
      for (int copy = 0; copy < 8; copy += 2)
        columns.weights[(static_cast<size_t>(k / 2) * width + x) * 8 + copy + k % 2] =
            axis.weights[axis.first[i] + k];
  }
  return columns;
}

// All that is known of one axis before its pixels.
struct Plan {
  double begin, extent;
  int size, outputs;
  bool averaged, mirrored;
  Axis axis;
  Columns columns;
};

// Many pictures have the same size: each thread keeps what it made for the last few.
std::shared_ptr<const Plan> PlanOf(double begin, double extent, int size, int outputs,
                                   bool averaged, bool mirrored) {
  constexpr size_t kKept = 8, kMostWeights = size_t{1} << 16;
  static thread_local std::shared_ptr<const Plan> kept[kKept];
  static thread_local size_t next = 0;
  for (const auto& plan : kept)
    if (plan != nullptr && plan->begin == begin && plan->extent == extent && plan->size == size &&
        plan->outputs == outputs && plan->averaged == averaged && plan->mirrored == mirrored)
      return plan;
  Axis axis = MakeAxis(begin, extent, size, outputs, averaged);
  Columns columns = MakeColumns(axis, mirrored);
  auto plan = std::make_shared<const Plan>(Plan{begin, extent, size, outputs, averaged, mirrored,
                                                std::move(axis), std::move(columns)});
  if (plan->columns.weights.size() <= kMostWeights) kept[next++ % kKept] = plan;
  return plan;
}

template <typename T>
void Transpose(const T* in, int rows, int columns, T* out) {
  constexpr int kTile = 16;
  for (int top = 0; top < rows; top += kTile)
    for (int left = 0; left < columns; left += kTile)
      for (int y = top; y < std::min(rows, top + kTile); ++y)
        for (int x = left; x < std::min(columns, left + kTile); ++x)
          memcpy(out + (static_cast<size_t>(x) * rows + y) * 3,
                 in + (static_cast<size_t>(y) * columns + x) * 3, 3 * sizeof(T));
}

// Four floats at once, in whatever registers the processor has.
typedef float Four __attribute__((vector_size(16)));

// The sum over the values of (value - mean), or of its square.
double Deviations(const float* values, size_t n, float mean, bool squared) {
  double total = 0;
  constexpr size_t kRun = 4096;  // short enough for sums in single precision
  for (size_t begin = 0; begin < n; begin += kRun) {
    const size_t end = std::min(n, begin + kRun);
    Four sums[4] = {};
    size_t i = begin;
    for (; i + 16 <= end; i += 16)
      for (int k = 0; k < 4; ++k) {
        Four v;
        memcpy(&v, values + i + 4 * k, sizeof(v));
        v -= mean;
        sums[k] += squared ? v * v : v;
      }
    const Four sum = sums[0] + sums[1] + sums[2] + sums[3];
    for (int lane = 0; lane < 4; ++lane) total += sum[lane];
    for (; i < end; ++i) {
      const double v = values[i] - mean;
      total += squared ? v * v : v;
    }
  }
  return total;
}

// tf.image.per_image_standardization: the deviation is at least 1 / sqrt(values).
void Standardize(float* values, size_t n) {
  const float mean = static_cast<float>(Deviations(values, n, 0, false) / n);
  const double squares = Deviations(values, n, mean, true);
  const float scale =
      static_cast<float>(1 / std::max(std::sqrt(squares / n), 1 / std::sqrt(static_cast<double>(n))));
  for (size_t i = 0; i < n; ++i) values[i] = (values[i] - mean) * scale;
}

void EmitRow(const ResampleLoops& loops, const int16_t* row, const Columns& columns,
             const float*, const float*, uint8_t* out) {
  loops.bytes(row, columns.start.data(), columns.weights.data(), columns.pairs,
              static_cast<int>(columns.start.size()), out);
}
void EmitRow(const ResampleLoops& loops, const int16_t* row, const Columns& columns,
             const float* scale, const float* offset, float* out) {
  loops.floats(row, columns.start.data(), columns.weights.data(), columns.pairs,
               static_cast<int>(columns.start.size()), scale, offset, out);
}

const ResampleLoops& Loops() {
  static const ResampleLoops* const loops = Avx2ResampleLoops();
  return loops != nullptr ? *loops : PortableResampleLoops();
}

}  // namespace

Symmetry SymmetryOf(int orientation, bool flip) {
  static constexpr Symmetry kSymmetries[9] = {
      {false, false, false}, {false, false, false}, {false, false, true}, {false, true, true},
      {false, true, false},  {true, false, false},  {true, true, false},  {true, true, true},
      {true, false, true}};
  Symmetry symmetry = kSymmetries[orientation];
  // A displayed row is a stored column where the picture is transposed.
  bool& mirrored = symmetry.transposed ? symmetry.mirrored_rows : symmetry.mirrored_columns;
  mirrored ^= flip;
  return symmetry;
}

Window StoredWindow(const Window& window, int orientation, int stored_height, int stored_width) {
  const Symmetry symmetry = SymmetryOf(orientation, false);
  Window stored = window;
  if (symmetry.transposed) stored = {window.left, window.top, window.width, window.height};
  if (symmetry.mirrored_rows) stored.top = stored_height - (stored.top + stored.height);
  if (symmetry.mirrored_columns) stored.left = stored_width - (stored.left + stored.width);
  return stored;
}

bool Averaged(Antialias antialias, const Window& window, int height, int width) {
  if (antialias != Antialias::kAuto) return antialias == Antialias::kAlways;
  return window.height * window.width >= 4.0 * height * width;
}

template <typename T>
void Resample(const Picture& picture, const Window& window, Symmetry symmetry, bool averaged,
              const Normalization& normalization, int height, int width, T* out) {
  const ResampleLoops& loops = Loops();
  const int rows = symmetry.transposed ? width : height;
  const int columns = symmetry.transposed ? height : width;
  const auto down = PlanOf(window.top, window.height, picture.height, rows, averaged, false);
  const auto across = PlanOf(window.left, window.width, picture.width, columns, averaged,
                             symmetry.mirrored_columns);
  const Axis &vertical = down->axis, &horizontal = across->axis;
  const Columns& table = across->columns;

  // float32 = fixed point * 2^-21 * scale + offset
  float scale[4] = {}, offset[4] = {};
  for (int c = 0; c < 3; ++c) {
    scale[c] = normalization.scale[c] / static_cast<float>(1 << (kWeightBits + kRowBits));
    offset[c] = normalization.offset[c];
  }

  const int elements = (horizontal.high - horizontal.low) * 3;
  std::vector<int16_t> row(elements + 6 * table.pairs + kRowSlack);
  std::vector<T> line(static_cast<size_t>(columns) * 3 + kRowSlack);
  std::vector<T> turned;
  if (symmetry.transposed) turned.resize(static_cast<size_t>(rows) * columns * 3);
  T* const target = symmetry.transposed ? turned.data() : out;
  std::vector<const uint8_t*> inputs(vertical.widest);

  for (int i = 0; i < rows; ++i) {
    const int taps = vertical.taps[i];
    if (taps == 0) {
      std::fill(row.begin(), row.end(), 0);
    } else {
      const uint8_t* first = picture.pixels + vertical.start[i] * picture.stride +
                             static_cast<int64_t>(horizontal.low) * 3;
      if (taps <= 2 && !averaged) {
        loops.blend(first, first + (taps - 1) * picture.stride, vertical.blends[i], elements,
                    row.data());
      } else {
        for (int k = 0; k < taps; ++k) inputs[k] = first + k * picture.stride;
        loops.combine(inputs.data(), &vertical.weights[vertical.first[i]], taps, elements,
                      row.data());
      }
    }
    EmitRow(loops, row.data(), table, scale, offset, line.data());
    const int64_t y = symmetry.mirrored_rows ? rows - 1 - i : i;
    memcpy(target + y * columns * 3, line.data(), sizeof(T) * columns * 3);
  }
  if (symmetry.transposed) Transpose(turned.data(), rows, columns, out);
  if constexpr (std::is_same_v<T, float>) {
    if (normalization.standardize) Standardize(out, static_cast<size_t>(height) * width * 3);
  }
}

template void Resample(const Picture&, const Window&, Symmetry, bool, const Normalization&, int,
                       int, uint8_t*);
template void Resample(const Picture&, const Window&, Symmetry, bool, const Normalization&, int,
                       int, float*);

}  // namespace tfstream
