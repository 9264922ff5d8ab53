// Whether a TFRecord frame is sound. Where it is not, its caller finds out what is wrong.
#include <cstdint>
#include <cstring>

#include "../crc32c.h"

namespace {

constexpr int64_t kHeader = 12, kFooter = 4;

template <typename T>
T Little(const uint8_t* bytes) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(bytes[i]) << 8 * i;
  return value;
}

}  // namespace

// 1 for `bytes` bytes that are one whole frame which matches both its checksums.
extern "C" __attribute__((visibility("default"))) int32_t TfstreamIsFrame(const uint8_t* frame,
                                                                          int64_t bytes) {
  if (bytes < kHeader + kFooter) return 0;
  const uint64_t payload = static_cast<uint64_t>(bytes - kHeader - kFooter);
  return Little<uint64_t>(frame) == payload &&
         Little<uint32_t>(frame + 8) == tfstream::MaskedCrc32c(frame, 8) &&
         Little<uint32_t>(frame + kHeader + payload) ==
             tfstream::MaskedCrc32c(frame + kHeader, payload);
}
