// Annotations of the PASCAL VOC kind, as plain as programs write them.
#pragma once

#include <string_view>

#include "image.h"

namespace tfstream::packing {

// Fills in size, objects and metadata. False wherever the file holds anything but elements with
// printable ASCII between them, names something twice, or is wrong in any way: `voc_xml.py` reads
// it then. The views in `image` are into `xml`.
bool ReadAnnotation(std::string_view xml, Image* image);

}  // namespace tfstream::packing
