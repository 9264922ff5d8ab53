#include "example.h"

#include <cmath>

#include "wire.h"

namespace tfstream::packing {
namespace {

constexpr double kSteps = 64;  // to the pixel: `format/example.py` says why

double Steps(double pixels) {
  return pixels > 0 ? std::nearbyint(pixels * kSteps) : 0;  // half to even, as Python rounds
}

double Area(const Object& object, const Image& image) {
  const double height = object.ymax - object.ymin, width = object.xmax - object.xmin;
  if (!object.has_box) return double(image.width) * image.height * kSteps * kSteps;
  if (!object.normalized) return Steps(height) * Steps(width);
  return Steps(height * image.height) * Steps(width * image.width);
}

enum List { kBytes = 1, kFloats = 2, kInts = 3 };

// One entry of the map of features; `values` is the inside of its list.
void PutFeature(std::string* out, std::string_view name, List list, std::string_view values) {
  const size_t inner = 1 + VarintSize(values.size()) + values.size();
  const size_t entry = 1 + VarintSize(name.size()) + name.size() + 1 + VarintSize(inner) + inner;
  out->push_back(1 << 3 | 2);
  PutVarint(out, entry);
  PutBytes(out, 1, name);
  out->push_back(2 << 3 | 2);
  PutVarint(out, inner);
  PutBytes(out, list, values);
}

void PutText(std::string* out, std::string_view name, std::string_view value) {
  std::string values;
  PutBytes(&values, 1, value);
  PutFeature(out, name, kBytes, values);
}

void PutPacked(std::string* out, std::string_view name, List list, std::string_view packed) {
  std::string values;
  if (!packed.empty()) PutBytes(&values, 1, packed);
  PutFeature(out, name, list, values);
}

void PutInt(std::string* out, std::string_view name, uint64_t value) {
  std::string packed;
  PutVarint(&packed, value);
  PutPacked(out, name, kInts, packed);
}

bool PutJsonText(std::string_view text, std::string* out) {
  out->push_back('"');
  for (const char each : text) {
    if (static_cast<uint8_t>(each) < 0x20 || each == '"' || each == '\\') return false;
  }
  out->append(text);
  out->push_back('"');
  return true;
}

// False where a text needs escapes.
bool PutJson(const Image& image, std::string* out) {
  for (const Metadata& item : image.metadata) {
    out->append(out->empty() ? "{" : ", ");
    if (!PutJsonText(item.name, out)) return false;
    out->append(": ");
    if (item.kind == Metadata::Kind::kInt) {
      out->append(std::to_string(item.number));
    } else if (item.kind == Metadata::Kind::kBool) {
      out->append(item.number ? "true" : "false");
    } else if (!PutJsonText(item.text, out)) {
      return false;
    }
  }
  out->push_back('}');
  return true;
}

}  // namespace

int MainObject(const Image& image) {
  int best = -1;
  double best_area = -1;
  for (size_t place = 0; place < image.objects.size(); ++place) {
    const double area = Area(image.objects[place], image);
    if (area > best_area) {
      best = static_cast<int>(place);
      best_area = area;
    }
  }
  return best;
}

std::string_view FileName(const Image& image) {
  return image.image_path.substr(image.image_path.rfind('/') + 1);
}

bool WriteExample(const Image& image, size_t image_bytes, const Labels* labels, std::string* before,
                  std::string* after, std::string* metadata) {
  if (image.image_path.empty() || image.image_path.back() == '/') return false;
  if (image.width == 0 || image.height == 0) return false;
  const int main = MainObject(image);
  std::string indices, texts, packed;
  int64_t label = labels ? labels->background : 0;
  for (size_t place = 0; place < image.objects.size(); ++place) {
    const std::string_view name = image.objects[place].label;
    int64_t index = 0;
    if (labels != nullptr) {
      const auto found = labels->index.find(name);
      if (found == labels->index.end()) return false;
      index = found->second;
    }
    PutVarint(&indices, index);
    PutBytes(&texts, 1, name);
    if (static_cast<int>(place) == main) label = index;
  }

  std::string head;  // the features whose names come before the image's
  if (label >= 0) PutInt(&head, "image/class/label", label);
  if (main >= 0) PutText(&head, "image/class/text", image.objects[main].label);

  after->clear();
  PutText(after, "image/filename", FileName(image));
  PutText(after, "image/format", image.format);
  PutInt(after, "image/height", image.height);
  metadata->clear();
  if (!image.metadata.empty()) {
    if (!PutJson(image, metadata)) return false;
    PutText(after, "image/metadata", *metadata);
  }
  const auto edge = [&](std::string_view name, double Object::* side, double whole, double none) {
    packed.clear();
    for (const Object& object : image.objects) {
      const double value = object.has_box ? object.*side / (object.normalized ? 1 : whole) : none;
      const float fraction = static_cast<float>(value);
      packed.append(reinterpret_cast<const char*>(&fraction), sizeof fraction);
    }
    PutPacked(after, name, kFloats, packed);
  };
  edge("image/object/bbox/xmax", &Object::xmax, image.width, 1);
  edge("image/object/bbox/xmin", &Object::xmin, image.width, 0);
  edge("image/object/bbox/ymax", &Object::ymax, image.height, 1);
  edge("image/object/bbox/ymin", &Object::ymin, image.height, 0);
  PutPacked(after, "image/object/class/label", kInts, indices);
  PutFeature(after, "image/object/class/text", kBytes, texts);
  const auto flag = [&](std::string_view name, bool Object::* which) {
    packed.clear();
    for (const Object& object : image.objects) packed.push_back(object.*which);
    PutPacked(after, name, kInts, packed);
  };
  flag("image/object/difficult", &Object::difficult);
  flag("image/object/is_crowd", &Object::crowd);
  flag("image/object/occluded", &Object::occluded);
  flag("image/object/truncated", &Object::truncated);
  PutInt(after, "image/orientation", image.orientation ? image.orientation : 1);
  PutText(after, "image/source_id", image.key);
  PutInt(after, "image/width", image.width);

  // The image's own feature, from the inside: its list, the feature, the entry.
  constexpr std::string_view kName = "image/encoded";
  const size_t list = 1 + VarintSize(image_bytes) + image_bytes;
  const size_t feature = 1 + VarintSize(list) + list;
  const size_t entry = 1 + 1 + kName.size() + 1 + VarintSize(feature) + feature;
  PutBytes(&(packed = ""), 1, kName);
  const size_t features =
      head.size() + 1 + VarintSize(entry) + entry + after->size();
  before->clear();
  before->push_back(1 << 3 | 2);
  PutVarint(before, features);
  before->append(head);
  before->push_back(1 << 3 | 2);
  PutVarint(before, entry);
  before->append(packed);
  before->push_back(2 << 3 | 2);
  PutVarint(before, feature);
  before->push_back(kBytes << 3 | 2);
  PutVarint(before, list);
  before->push_back(1 << 3 | 2);
  PutVarint(before, image_bytes);
  return true;
}

}  // namespace tfstream::packing
