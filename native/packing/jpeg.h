// The structure of JPEG files: `packing/images.py` says what is looked for, and why.
#pragma once

#include <cstdint>
#include <string_view>

namespace tfstream::packing {

struct JpegHeader {
  uint32_t width, height;
};

// What the first bytes of a file say. False wherever there is anything out of the ordinary:
// an orientation, a header longer than `head`, a frame that not every decoder knows.
bool ReadJpegHeader(std::string_view head, JpegHeader* header);

// Whether every marker is in its place up to the end of the image.
bool IsWholeJpeg(std::string_view data);

}  // namespace tfstream::packing
