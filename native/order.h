// The order of an epoch, as arithmetic: the same as tfstream/order.py, number
// for number (tests compare them). Changing it breaks every stored position.
#pragma once

#include <cstdint>

namespace tfstream {

// The finaliser of splitmix64: every bit of the result depends on every bit of x.
inline uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// A bijection of [0, size) onto itself, keyed, computed in O(1) memory: an
// alternating Feistel network over the next even power of two, walked until
// the value falls inside.
class Permutation {
 public:
  static constexpr int kRounds = 8;
  static constexpr int kMinBits = 6;

  Permutation(uint64_t size, uint64_t key) : size_(size) {
    int bits = 0;
    while (bits < 64 && size > 1 && ((size - 1) >> bits) != 0) ++bits;
    if (bits < kMinBits) bits = kMinBits;
    low_bits_ = bits - bits / 2;
    low_mask_ = (uint64_t{1} << low_bits_) - 1;
    high_mask_ = (uint64_t{1} << (bits / 2)) - 1;
    for (int r = 0; r < kRounds; ++r) keys_[r] = Mix(key + r);
  }

  uint64_t Forward(uint64_t x) const {
    do {
      uint64_t high = x >> low_bits_, low = x & low_mask_;
      for (int r = 0; r < kRounds; r += 2) {
        high ^= Mix(low ^ keys_[r]) & high_mask_;
        low ^= Mix(high ^ keys_[r + 1]) & low_mask_;
      }
      x = (high << low_bits_) | low;
    } while (x >= size_);
    return x;
  }

  uint64_t Inverse(uint64_t x) const {
    do {
      uint64_t high = x >> low_bits_, low = x & low_mask_;
      for (int r = kRounds; r > 0; r -= 2) {
        low ^= Mix(high ^ keys_[r - 1]) & low_mask_;
        high ^= Mix(low ^ keys_[r - 2]) & high_mask_;
      }
      x = (high << low_bits_) | low;
    } while (x >= size_);
    return x;
  }

 private:
  uint64_t size_, low_mask_, high_mask_, keys_[kRounds];
  int low_bits_;
};

// Which record stands at a position of an epoch.
class EpochOrder {
 public:
  // shuffle false: storage order, whatever the lanes.
  EpochOrder(uint64_t records, uint64_t seed, uint64_t epoch, uint64_t lanes,
             uint64_t block_size, bool shuffle)
      : lanes_(shuffle ? lanes : 1),
        block_size_(block_size),
        shuffle_(shuffle),
        lane_size_(records / lanes_),
        longer_lanes_(records % lanes_),
        blocks_((records + block_size - 1) / block_size, Key(seed, epoch)) {
    const uint64_t count = (records + block_size - 1) / block_size;
    missing_ = count * block_size - records;
    short_slot_ = shuffle && missing_ > 0 ? blocks_.Inverse(count - 1) : count;
  }

  static uint64_t Key(uint64_t seed, uint64_t epoch) { return Mix(Mix(seed) + epoch); }

  // position must be below the number of records.
  uint64_t Record(uint64_t position) const {
    if (!shuffle_) return position;
    const uint64_t lane = position % lanes_;
    const uint64_t longer_before = lane < longer_lanes_ ? lane : longer_lanes_;
    uint64_t v = lane * lane_size_ + longer_before + position / lanes_;
    // One block may be short; behind it, everything has moved up.
    if (v >= short_slot_ * block_size_ + (block_size_ - missing_)) v += missing_;
    return blocks_.Forward(v / block_size_) * block_size_ + v % block_size_;
  }

 private:
  uint64_t lanes_, block_size_;
  bool shuffle_;
  uint64_t lane_size_, longer_lanes_;
  Permutation blocks_;
  uint64_t missing_, short_slot_;
};

// Random numbers in [0, 1), 24 bits each, that belong to a sample: the same
// wherever and whenever the sample is made.
class Draws {
 public:
  Draws(uint64_t seed, uint64_t epoch)
      : key_(Mix(EpochOrder::Key(seed, epoch) + 0x6472617773ull)) {}  // "draws"

  float Uniform(uint64_t position, uint64_t which) const {
    return static_cast<float>(Mix(Mix(key_ + position) + which) >> 40) * 0x1p-24f;
  }

 private:
  uint64_t key_;
};

}  // namespace tfstream
