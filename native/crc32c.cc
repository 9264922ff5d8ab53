#include "crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace tfstream {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78u;  // Castagnoli, reflected

// Slicing by eight: table[k][b] is the effect of byte b followed by k zeros.
using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables MakeTables() {
  Tables t{};
  for (uint32_t b = 0; b < 256; ++b) {
    uint32_t crc = b;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? kPolynomial : 0);
    t[0][b] = crc;
  }
  for (int k = 1; k < 8; ++k)
    for (uint32_t b = 0; b < 256; ++b)
      t[k][b] = (t[k - 1][b] >> 8) ^ t[0][t[k - 1][b] & 0xff];
  return t;
}
constexpr Tables kTables = MakeTables();

uint64_t Load64(const uint8_t* p) {
  uint64_t v;
  memcpy(&v, p, 8);
  return v;
}

uint32_t Portable(uint32_t crc, const uint8_t* p, size_t n) {
  for (; n >= 8; p += 8, n -= 8) {
    const uint64_t v = Load64(p) ^ crc;
    crc = kTables[7][v & 0xff] ^ kTables[6][(v >> 8) & 0xff] ^
          kTables[5][(v >> 16) & 0xff] ^ kTables[4][(v >> 24) & 0xff] ^
          kTables[3][(v >> 32) & 0xff] ^ kTables[2][(v >> 40) & 0xff] ^
          kTables[1][(v >> 48) & 0xff] ^ kTables[0][v >> 56];
  }
  for (; n > 0; ++p, --n) crc = (crc >> 8) ^ kTables[0][(crc ^ *p) & 0xff];
  return crc;
}

#if defined(__x86_64__) || defined(__aarch64__)
// The CRC instruction takes 3 cycles but can start every cycle: three
// independent streams of kStream bytes keep it busy, and are then joined by
// advancing a CRC over kStream zero bytes, which is linear and so a table look-up.
constexpr size_t kStream = 1024;

using Shift = std::array<std::array<uint32_t, 256>, 4>;

Shift MakeShift(size_t zeros) {
  Shift shift{};
  for (int byte = 0; byte < 4; ++byte)
    for (uint32_t b = 0; b < 256; ++b) {
      uint32_t crc = b << (8 * byte);
      for (size_t i = 0; i < zeros; ++i) crc = (crc >> 8) ^ kTables[0][crc & 0xff];
      shift[byte][b] = crc;
    }
  return shift;
}

uint32_t Advance(const Shift& shift, uint32_t crc) {
  return shift[0][crc & 0xff] ^ shift[1][(crc >> 8) & 0xff] ^
         shift[2][(crc >> 16) & 0xff] ^ shift[3][crc >> 24];
}
#endif

#if defined(__x86_64__)
#define TFSTREAM_CRC_TARGET __attribute__((target("sse4.2")))
#define TFSTREAM_CRC64(crc, v) _mm_crc32_u64(crc, v)
#define TFSTREAM_CRC8(crc, v) _mm_crc32_u8(static_cast<uint32_t>(crc), v)
bool HasHardware() { return __builtin_cpu_supports("sse4.2"); }
#elif defined(__aarch64__) && defined(__linux__)
#define TFSTREAM_CRC_TARGET __attribute__((target("+crc")))
#define TFSTREAM_CRC64(crc, v) __builtin_aarch64_crc32cx(static_cast<uint32_t>(crc), v)
#define TFSTREAM_CRC8(crc, v) __builtin_aarch64_crc32cb(static_cast<uint32_t>(crc), v)
bool HasHardware() { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }
#endif

#if defined(TFSTREAM_CRC64)
TFSTREAM_CRC_TARGET uint32_t Hardware(uint32_t crc, const uint8_t* p, size_t n) {
  static const Shift shift = MakeShift(kStream);
  uint64_t a = crc;
  for (; n >= 3 * kStream; p += 3 * kStream, n -= 3 * kStream) {
    uint64_t b = 0, c = 0;
    for (size_t i = 0; i < kStream; i += 8) {
      a = TFSTREAM_CRC64(a, Load64(p + i));
      b = TFSTREAM_CRC64(b, Load64(p + kStream + i));
      c = TFSTREAM_CRC64(c, Load64(p + 2 * kStream + i));
    }
    a = Advance(shift, static_cast<uint32_t>(a)) ^ b;
    a = Advance(shift, static_cast<uint32_t>(a)) ^ c;
  }
  for (; n >= 8; p += 8, n -= 8) a = TFSTREAM_CRC64(a, Load64(p));
  for (; n > 0; ++p, --n) a = TFSTREAM_CRC8(a, *p);
  return static_cast<uint32_t>(a);
}
#endif

}  // namespace

uint32_t Crc32c(const void* data, size_t size) {
  const auto* p = static_cast<const uint8_t*>(data);
#if defined(TFSTREAM_CRC64)
  static const bool hardware = HasHardware();
  if (hardware) return ~Hardware(~0u, p, size);
#endif
  return ~Portable(~0u, p, size);
}

}  // namespace tfstream
