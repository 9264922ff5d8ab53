// Finds in a serialized tf.train.Example what an image and its label need, without copying the
// image. Declines whatever is out of the ordinary: protobuf has the last word there.
#include <cstdint>
#include <cstring>
#include <string_view>

#include "../packing/jpeg.h"
#include "../wire_fields.h"

namespace {

using tfstream::Fields;

// Where in the record a text lies.
struct Text {
  int64_t at = 0, bytes = 0;
};

// As tfstream/adapters/found.py lays it out.
struct Found {
  Text texts[3];                     // of kTexts; empty where there is none
  int64_t numbers[4] = {0, 0, 1, -1};  // of kNumbers
  int32_t jpeg_height = 0, jpeg_width = 0;  // that the encoded image states; 0: not known
};

constexpr std::string_view kTexts[] = {"image/encoded", "image/source_id", "image/class/text"};
constexpr std::string_view kNumbers[] = {"image/height", "image/width", "image/orientation",
                                         "image/class/label"};

// What a feature holds: its kind (1 bytes, 2 floats, 3 integers), how many values, and the first.
struct Values {
  int kind = 0, count = 0;
  std::string_view text;
  int64_t number = 0;
};

// False where the feature is damaged, or one that no writer makes.
bool ReadFeature(std::string_view message, Values* values) {
  Fields feature(message);
  if (!feature.Next()) return feature.sound;
  if (feature.type != 2 || feature.field < 1 || feature.field > 3) return false;
  values->kind = feature.field;
  Fields list(feature.bytes);
  if (feature.Next() || !feature.sound) return false;
  while (list.Next()) {
    if (list.field != 1) return false;
    if (values->kind == 2) {  // packed floats
      if (list.type != 2 || list.bytes.size() % 4 != 0) return false;
      values->count += static_cast<int>(list.bytes.size() / 4);
    } else if (values->kind == 1) {
      if (list.type != 2) return false;
      if (values->count++ == 0) values->text = list.bytes;
    } else {
      Fields packed(list.type == 2 ? list.bytes : std::string_view());
      uint64_t number = list.number;
      if (list.type != 0 && list.type != 2) return false;
      for (bool one = list.type == 0; one || !packed.empty(); one = false) {
        if (!one && !packed.Varint(&number)) return false;
        if (values->count++ == 0) values->number = static_cast<int64_t>(number);
      }
    }
  }
  return list.sound;
}

bool IsAscii(std::string_view name) {
  for (const char c : name)
    if (static_cast<uint8_t>(c) >= 0x80) return false;
  return true;
}

template <size_t kNames>
int Which(const std::string_view (&names)[kNames], std::string_view name) {
  for (size_t i = 0; i < kNames; ++i)
    if (names[i] == name) return static_cast<int>(i);
  return -1;
}

bool Find(std::string_view record, Found* found) {
  Fields example(record);
  if (!example.Next() || example.field != 1 || example.type != 2) return false;
  Fields features(example.bytes);
  if (example.Next() || !example.sound) return false;
  *found = Found();
  bool seen_texts[3] = {}, seen_numbers[4] = {};
  while (features.Next()) {
    if (features.field != 1 || features.type != 2) return false;
    Fields entry(features.bytes);
    if (!entry.Next() || entry.field != 1 || entry.type != 2) return false;
    const std::string_view name = entry.bytes;
    Values values;
    if (!IsAscii(name) || !entry.Next() || entry.field != 2 || entry.type != 2 ||
        !ReadFeature(entry.bytes, &values) || entry.Next() || !entry.sound) {
      return false;
    }
    const int text = Which(kTexts, name), number = Which(kNumbers, name);
    if (text >= 0) {
      if (values.kind != 1 || values.count != 1 || seen_texts[text]) return false;
      seen_texts[text] = true;
      found->texts[text].at = values.text.data() - record.data();
      found->texts[text].bytes = static_cast<int64_t>(values.text.size());
    } else if (number >= 0) {
      if (values.kind != 3 || values.count != 1 || seen_numbers[number]) return false;
      seen_numbers[number] = true;
      found->numbers[number] = values.number;
    }
  }
  if (!features.sound) return false;
  tfstream::packing::JpegHeader header;
  if (ReadJpegHeader(record.substr(found->texts[0].at, found->texts[0].bytes), &header)) {
    found->jpeg_height = static_cast<int32_t>(header.height);
    found->jpeg_width = static_cast<int32_t>(header.width);
  }
  return true;
}

}  // namespace

// 0, or 1 where it declines.
extern "C" __attribute__((visibility("default"))) int32_t TfstreamFind(const char* record,
                                                                       int64_t bytes,
                                                                       Found* found) {
  return Find(std::string_view(record, static_cast<size_t>(bytes)), found) ? 0 : 1;
}
