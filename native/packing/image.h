// An image and its annotation, as far as the fast road of packing knows them.
//
// What these structures cannot hold (polygons, masks, keypoints, anything that
// is wrong) goes the road in Python, which has the last word on all of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tfstream::packing {

struct Object {
  std::string_view label;
  bool has_box = false;
  bool normalized = false;
  double ymin = 0, xmin = 0, ymax = 0, xmax = 0;
  bool difficult = false, truncated = false, occluded = false, crowd = false;
};

struct Metadata {
  enum class Kind { kString, kInt, kBool };
  std::string_view name;
  Kind kind = Kind::kString;
  std::string_view text = {};
  int64_t number = 0;  // an integer, or 0 and 1
};

// The views are into memory of the caller's: the file or the message that was read.
struct Image {
  std::string_view key, split, image_path, annotation_path, format;
  uint32_t width = 0, height = 0, orientation = 0;
  std::vector<Object> objects;
  std::vector<Metadata> metadata;  // sorted by name
};

// The object with the largest box, the first of equals; -1 without objects.
int MainObject(const Image& image);

// Behind the last "/" of the image's path.
std::string_view FileName(const Image& image);

}  // namespace tfstream::packing
