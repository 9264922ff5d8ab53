// CRC-32C (Castagnoli), the checksum of TFRecord files.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tfstream {

uint32_t Crc32c(const void* data, size_t size);

// A CRC of data that itself holds CRCs is weak, so TFRecord stores this
// rotation of it instead.
inline uint32_t MaskedCrc32c(const void* data, size_t size) {
  const uint32_t crc = Crc32c(data, size);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

}  // namespace tfstream
