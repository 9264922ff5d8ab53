// Protobuf's wire format, read field by field.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace tfstream {

// A message's fields, one after the other.
class Fields {
 public:
  explicit Fields(std::string_view message) : left_(message) {}

  // False at the end, and where the message is damaged or has groups.
  bool Next() {
    if (left_.empty()) return false;
    uint64_t tag;
    if (!Varint(&tag)) return Fail();
    field = static_cast<int>(tag >> 3);
    type = static_cast<int>(tag & 7);
    if (type == 0) return Varint(&number) || Fail();
    if (type == 1) {
      if (left_.size() < 8) return Fail();
      std::memcpy(&number, left_.data(), 8);
      left_.remove_prefix(8);
      return true;
    }
    uint64_t size;
    if (type != 2 || !Varint(&size) || size > left_.size()) return Fail();
    bytes = left_.substr(0, size);
    left_.remove_prefix(size);
    return true;
  }

  // Takes a number without a tag, as lists of numbers hold them.
  bool Varint(uint64_t* value) {
    *value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (left_.empty()) return false;
      const uint8_t byte = left_.front();
      left_.remove_prefix(1);
      *value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return shift < 63 || byte <= 1;
    }
    return false;
  }

  bool empty() const { return left_.empty(); }

  double real() const {
    double value;
    std::memcpy(&value, &number, sizeof value);
    return value;
  }

  bool sound = true;
  int field = 0, type = 0;
  uint64_t number = 0;
  std::string_view bytes;

 private:
  bool Fail() { return sound = false; }

  std::string_view left_;
};

}  // namespace tfstream
