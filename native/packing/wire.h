// Protobuf's wire format, as much of it as packing needs.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "image.h"

namespace tfstream::packing {

inline void PutVarint(std::string* out, uint64_t value) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

inline size_t VarintSize(uint64_t value) {
  size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

// A field of bytes, its number at most 15.
inline void PutBytes(std::string* out, int field, std::string_view value) {
  out->push_back(static_cast<char>(field << 3 | 2));
  PutVarint(out, value.size());
  out->append(value);
}

// `AnnotatedImage.SerializeToString(deterministic=True)`.
void WriteImage(const Image& image, std::string* out);

// False where the message holds what an Image cannot.
bool ReadImage(std::string_view message, Image* image);

}  // namespace tfstream::packing
