// An image as a `tf.train.Example`: the very bytes that `format/example.py` writes.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "image.h"

namespace tfstream::packing {

struct Labels {
  std::unordered_map<std::string_view, int64_t> index;
  int64_t background = -1;  // -1: none
};

// Writes the record without the image's own bytes, which belong between `before` and `after`.
// `metadata` is the JSON text of the free metadata. Labels that are not in the map have the index
// 0 where `labels` is null; otherwise false, as wherever the record cannot be made here.
bool WriteExample(const Image& image, size_t image_bytes, const Labels* labels, std::string* before,
                  std::string* after, std::string* metadata);

}  // namespace tfstream::packing
