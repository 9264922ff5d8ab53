// Runs the portable and the AVX2 loops of resampling on the same random rows, each in
// memory of exactly its size, and compares what comes out.
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>

#include "resample.h"

using namespace tfstream;

namespace {

std::mt19937 generator(7);
int Random(int low, int high) { return std::uniform_int_distribution<int>(low, high)(generator); }

std::unique_ptr<uint8_t[]> Row(int n) {
  std::unique_ptr<uint8_t[]> row(new uint8_t[n]);
  const bool extreme = Random(0, 3) == 0;
  for (int i = 0; i < n; ++i)
    row[i] = static_cast<uint8_t>(extreme ? 255 * Random(0, 1) : Random(0, 255));
  return row;
}

// Weights that sum to 2^14.
std::vector<int16_t> Weights(int taps) {
  std::vector<int16_t> weights(taps);
  int left = 1 << 14;
  for (int k = 0; k + 1 < taps; ++k) left -= weights[k] = static_cast<int16_t>(Random(0, left));
  weights[taps - 1] = static_cast<int16_t>(left);
  return weights;
}

template <typename T>
bool Same(const std::vector<T>& a, const std::vector<T>& b, size_t n, const char* what) {
  if (memcmp(a.data(), b.data(), n * sizeof(T)) == 0) return true;
  printf("%s: the loops differ\n", what);
  return false;
}

bool Compare(const ResampleLoops& one, const ResampleLoops& other) {
  const int n = 3 * Random(1, 60), taps = Random(1, 9);
  std::vector<std::unique_ptr<uint8_t[]>> rows;
  std::vector<const uint8_t*> inputs;
  for (int k = 0; k < taps; ++k) {
    rows.push_back(Row(n));
    inputs.push_back(rows.back().get());
  }
  std::vector<int16_t> a(n), b(n);
  const int weight = Random(0, 2) == 0 ? 32767 * Random(0, 1) : Random(0, 32767);
  one.blend(inputs[0], inputs[taps - 1], weight, n, a.data());
  other.blend(inputs[0], inputs[taps - 1], weight, n, b.data());
  if (!Same(a, b, n, "blend")) return false;
  const auto down = Weights(taps);
  one.combine(inputs.data(), down.data(), taps, n, a.data());
  other.combine(inputs.data(), down.data(), taps, n, b.data());
  if (!Same(a, b, n, "combine")) return false;

  const int width = Random(1, 50), pairs = Random(1, 5);
  std::vector<int16_t> row(a);
  row.resize(n + 6 * pairs + kRowSlack);
  std::vector<int> start(width);
  std::vector<int16_t> across(static_cast<size_t>(pairs) * width * 8);
  for (int x = 0; x < width; ++x) {
    start[x] = 3 * Random(0, n / 3 - 1);
    const auto weights = Weights(2 * pairs);
    for (int k = 0; k < 2 * pairs; ++k)
      for (int copy = 0; copy < 8; copy += 2)
        across[((k / 2) * width + x) * 8 + copy + k % 2] = weights[k];
  }
  std::vector<uint8_t> bytes(width * 3 + kRowSlack), other_bytes(bytes);
  one.bytes(row.data(), start.data(), across.data(), pairs, width, bytes.data());
  other.bytes(row.data(), start.data(), across.data(), pairs, width, other_bytes.data());
  if (!Same(bytes, other_bytes, width * 3, "bytes")) return false;
  const float scale[4] = {0.5f, 1, 2}, offset[4] = {-1, 0, 1};
  std::vector<float> floats(width * 3 + kRowSlack), other_floats(floats);
  one.floats(row.data(), start.data(), across.data(), pairs, width, scale, offset, floats.data());
  other.floats(row.data(), start.data(), across.data(), pairs, width, scale, offset,
               other_floats.data());
  return Same(floats, other_floats, width * 3, "floats");
}

}  // namespace

int main() {
  const ResampleLoops* fast = Avx2ResampleLoops();
  const ResampleLoops& portable = PortableResampleLoops();
  for (int i = 0; i < 3000; ++i)
    if (!Compare(portable, fast != nullptr ? *fast : portable)) return 1;
  return 0;
}
