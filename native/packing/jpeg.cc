#include "jpeg.h"

#include <cstring>

namespace tfstream::packing {
namespace {

constexpr uint8_t kSoi = 0xD8, kEoi = 0xD9, kSos = 0xDA, kApp1 = 0xE1, kDht = 0xC4, kDqt = 0xDB;

bool IsRestart(uint8_t kind) { return kind >= 0xD0 && kind <= 0xD7; }

uint8_t At(std::string_view data, size_t place) { return static_cast<uint8_t>(data[place]); }

uint32_t Short(std::string_view data, size_t place) {
  return At(data, place) << 8 | At(data, place + 1);
}

// Whether an APP1 segment states no orientation but the usual one.
bool IsUpright(std::string_view segment) {
  constexpr size_t kExif = 6, kEntry = 12;
  if (segment.substr(0, kExif) != std::string_view("Exif\0\0", kExif)) return true;
  const std::string_view tiff = segment.substr(kExif);
  const bool big = tiff.substr(0, 2) == "MM";
  if (!big && tiff.substr(0, 2) != "II") return true;
  const auto number = [&](uint64_t place, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; ++i) {
      value |= static_cast<uint64_t>(At(tiff, place + i)) << 8 * (big ? bytes - 1 - i : i);
    }
    return value;
  };
  if (tiff.size() < 8) return true;
  const uint64_t start = number(4, 4);
  if (start + 2 > tiff.size()) return true;
  const uint64_t count = number(start, 2);
  for (uint64_t entry = start + 2, i = 0; i < count; ++i, entry += kEntry) {
    if (entry + 10 > tiff.size()) return true;  // cut short: as good as none
    if (number(entry, 2) == 0x0112) return number(entry + 2, 2) != 3 || number(entry + 8, 2) <= 1;
  }
  return true;
}

// Where coded data that begins at `place` ends: the next marker; npos where none comes.
size_t EndOfCodedData(std::string_view data, size_t place) {
  while (place < data.size()) {
    const void* found = std::memchr(data.data() + place, 0xFF, data.size() - place);
    if (found == nullptr) break;
    place = static_cast<const char*>(found) - data.data();
    if (place + 1 == data.size()) break;
    const uint8_t kind = At(data, place + 1);
    if (kind != 0 && kind != 0xFF && !IsRestart(kind)) return place;
    place += kind == 0xFF ? 1 : 2;
  }
  return std::string_view::npos;
}

}  // namespace

bool ReadJpegHeader(std::string_view head, JpegHeader* header) {
  if (head.size() < 4 || Short(head, 0) != 0xFFD8) return false;
  bool frame = false, tables = false, codes = false;
  size_t at = 2;
  while (at + 20 <= head.size()) {
    if (At(head, at) != 0xFF) return false;
    const uint8_t kind = At(head, at + 1);
    if (kind == 0xFF) {
      ++at;
      continue;
    }
    const uint32_t length = Short(head, at + 2);
    if (length < 2 || kind < 0xC0 || kind == kSoi || kind == kEoi || IsRestart(kind)) return false;
    if (kind == kSos) return frame && tables && codes;
    switch (kind) {
      case 0xC0:
      case 0xC1:
      case 0xC2: {
        const uint8_t components = At(head, at + 9);
        header->height = Short(head, at + 5);
        header->width = Short(head, at + 7);
        if (frame || length < 8 || At(head, at + 4) != 8 || header->height == 0 ||
            header->width == 0 || (components != 1 && components != 3 && components != 4)) {
          return false;
        }
        frame = true;
        break;
      }
      case kDht:
        codes = true;
        break;
      case kDqt:
        tables = true;
        break;
      case kApp1:
        if (at + 2 + length > head.size() || !IsUpright(head.substr(at + 4, length - 2))) {
          return false;
        }
        break;
      default:
        if (kind < 0xD0 && kind != 0xC8 && kind != 0xCC) return false;  // other frames
    }
    at += 2 + length;
  }
  return false;
}

bool IsWholeJpeg(std::string_view data) {
  size_t at = 2;
  while (at + 1 < data.size() && At(data, at) == 0xFF) {
    const uint8_t kind = At(data, at + 1);
    if (kind == 0xFF) {
      ++at;
      continue;
    }
    if (kind == kEoi) return true;
    if (kind < 0xC0 || kind == kSoi || IsRestart(kind) || at + 4 > data.size()) return false;
    const uint32_t length = Short(data, at + 2);
    if (length < 2) return false;
    at += 2 + length;
    if (kind == kSos) {
      at = EndOfCodedData(data, at);
      if (at == std::string_view::npos) return false;
    }
  }
  return false;
}

}  // namespace tfstream::packing
