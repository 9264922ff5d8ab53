#include "wire.h"

#include "../wire_fields.h"

namespace tfstream::packing {
namespace {

void PutText(std::string* out, int field, std::string_view value) {
  if (!value.empty()) PutBytes(out, field, value);
}

void PutNumber(std::string* out, int field, uint64_t value) {
  if (value == 0) return;
  out->push_back(static_cast<char>(field << 3));
  PutVarint(out, value);
}

void PutDouble(std::string* out, int field, double value) {
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if (bits == 0) return;
  out->push_back(static_cast<char>(field << 3 | 1));
  out->append(reinterpret_cast<const char*>(&bits), sizeof bits);
}

void WriteObject(const Object& object, std::string* out) {
  PutText(out, 1, object.label);
  if (object.has_box) {
    std::string box;
    PutDouble(&box, 1, object.ymin);
    PutDouble(&box, 2, object.xmin);
    PutDouble(&box, 3, object.ymax);
    PutDouble(&box, 4, object.xmax);
    PutNumber(&box, 5, object.normalized);
    PutBytes(out, 2, box);
  }
  PutNumber(out, 3, object.difficult);
  PutNumber(out, 4, object.truncated);
  PutNumber(out, 5, object.occluded);
  PutNumber(out, 6, object.crowd);
}

bool ReadBox(std::string_view message, Object* object) {
  object->has_box = true;
  Fields fields(message);
  while (fields.Next()) {
    if (fields.field == 5 && fields.type == 0) {
      object->normalized = fields.number != 0;
      continue;
    }
    if (fields.type != 1) return false;
    switch (fields.field) {
      case 1: object->ymin = fields.real(); break;
      case 2: object->xmin = fields.real(); break;
      case 3: object->ymax = fields.real(); break;
      case 4: object->xmax = fields.real(); break;
      default: return false;
    }
  }
  return fields.sound;
}

bool ReadObject(std::string_view message, Object* object) {
  Fields fields(message);
  while (fields.Next()) {
    if (fields.type == 2 && fields.field == 1) {
      object->label = fields.bytes;
    } else if (fields.type == 2 && fields.field == 2) {
      if (!ReadBox(fields.bytes, object)) return false;
    } else if (fields.type == 0 && fields.field >= 3 && fields.field <= 6) {
      bool* flags[] = {&object->difficult, &object->truncated, &object->occluded, &object->crowd};
      *flags[fields.field - 3] = fields.number != 0;
    } else {
      return false;  // polygons, keypoints, a mask
    }
  }
  return fields.sound;
}

bool ReadValue(std::string_view message, Metadata* item) {
  Fields fields(message);
  int seen = 0;
  while (fields.Next()) {
    ++seen;
    if (fields.type == 2 && fields.field == 1) {
      item->kind = Metadata::Kind::kString;
      item->text = fields.bytes;
    } else if (fields.type == 0 && fields.field == 2) {
      item->kind = Metadata::Kind::kInt;
      item->number = static_cast<int64_t>(fields.number);
    } else if (fields.type == 0 && fields.field == 4) {
      item->kind = Metadata::Kind::kBool;
      item->number = fields.number != 0;
    } else {
      return false;  // a fraction, whose text Python writes
    }
  }
  return fields.sound && seen == 1;
}

bool ReadMetadata(std::string_view message, Metadata* item) {
  Fields fields(message);
  bool found = false;
  while (fields.Next()) {
    if (fields.type != 2) return false;
    if (fields.field == 1) {
      item->name = fields.bytes;
    } else if (fields.field != 2 || !ReadValue(fields.bytes, item)) {
      return false;
    } else {
      found = true;
    }
  }
  return fields.sound && found;
}

}  // namespace

void WriteImage(const Image& image, std::string* out) {
  PutText(out, 1, image.key);
  PutText(out, 2, image.split);
  PutText(out, 3, image.image_path);
  PutText(out, 4, image.annotation_path);
  PutText(out, 6, image.format);
  PutNumber(out, 7, image.width);
  PutNumber(out, 8, image.height);
  PutNumber(out, 9, image.orientation);
  std::string inner, value;
  for (const Object& object : image.objects) {
    inner.clear();
    WriteObject(object, &inner);
    PutBytes(out, 10, inner);
  }
  for (const Metadata& item : image.metadata) {
    inner.clear();
    value.clear();
    PutBytes(&inner, 1, item.name);
    if (item.kind == Metadata::Kind::kString) {
      PutBytes(&value, 1, item.text);
    } else {
      value.push_back(item.kind == Metadata::Kind::kInt ? 2 << 3 : 4 << 3);
      PutVarint(&value, static_cast<uint64_t>(item.number));
    }
    PutBytes(&inner, 2, value);
    PutBytes(out, 11, inner);
  }
}

bool ReadImage(std::string_view message, Image* image) {
  Fields fields(message);
  while (fields.Next()) {
    if (fields.type == 0) {
      switch (fields.field) {
        case 7: image->width = static_cast<uint32_t>(fields.number); break;
        case 8: image->height = static_cast<uint32_t>(fields.number); break;
        case 9: image->orientation = static_cast<uint32_t>(fields.number); break;
        default: return false;
      }
      continue;
    }
    if (fields.type != 2) return false;
    switch (fields.field) {
      case 1: image->key = fields.bytes; break;
      case 2: image->split = fields.bytes; break;
      case 3: image->image_path = fields.bytes; break;
      case 4: image->annotation_path = fields.bytes; break;
      case 6: image->format = fields.bytes; break;
      case 10:
        if (!ReadObject(fields.bytes, &image->objects.emplace_back())) return false;
        break;
      case 11:
        if (!ReadMetadata(fields.bytes, &image->metadata.emplace_back())) return false;
        break;
      default: return false;
    }
  }
  return fields.sound;
}

}  // namespace tfstream::packing
