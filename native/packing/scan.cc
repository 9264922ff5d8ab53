// The scan of some images on the fast road; `packing/fast.py` calls it.

#include <cstring>
#include <exception>
#include <set>
#include <string>

#include "annotation.h"
#include "example.h"
#include "files.h"
#include "jpeg.h"
#include "wire.h"

namespace tfstream::packing {
namespace {

constexpr int64_t kHead = 4096;             // as `packing/images.py` reads ahead
constexpr int64_t kLargestXml = 1 << 20;    // bytes; larger ones are rare
constexpr int64_t kFrame = 16;              // what a frame adds to a record
constexpr int64_t kLargestImage = 1 << 30;  // bytes; a record must stay below 2 GiB

// As Python lays it out: all fields of 8 bytes.
struct Scanned {
  int64_t taken;         // whether the rest says anything
  int64_t entry_end;     // of the image's message in `messages`, where the next one begins
  int64_t digested_end;  // the same in `digested`
  int64_t bytes, mtime_ns;
  int64_t record_bytes;  // of the frame, with label indices of one byte
  int64_t objects;
};

// What a call made besides; good until the same thread's next call.
struct Found {
  const char* messages;
  const char* digested;
  const char* labels;  // each with a NUL behind it
  int64_t label_bytes;
  const char* columns;  // name, NUL, kind, NUL, number of the first entry that has it, NUL
  int64_t column_bytes;
};

struct Entry {
  const char *key, *split, *image_path, *annotation_path;
};

bool HasGoodBoxes(const Image& image) {
  for (const Object& object : image.objects) {
    if (!(0 <= object.xmin && object.xmin < object.xmax && object.xmax <= image.width &&
          0 <= object.ymin && object.ymin < object.ymax && object.ymax <= image.height)) {
      return false;
    }
  }
  return true;
}

class Scanner {
 public:
  // False where the entry is not for the fast road, or memory is short: nothing has been added.
  bool Scan(const Entry& entry, int64_t place, Scanned* out) {
    const size_t sizes[] = {messages.size(), digested.size(), labels.size(), columns.size()};
    try {
      if (Look(entry, place, out)) return true;
    } catch (const std::exception&) {  // bad_alloc, length_error
      known_.clear();  // what they name may have been lost
      known_columns_.clear();
    }
    messages.resize(sizes[0]);
    digested.resize(sizes[1]);
    labels.resize(sizes[2]);
    columns.resize(sizes[3]);
    return false;
  }

  std::string messages, digested, labels, columns;

 private:
  bool Look(const Entry& entry, int64_t place, Scanned* out) {
    Image image;
    const File notes(entry.annotation_path);
    if (notes.size <= 0 || notes.size > kLargestXml) return false;
    xml_.resize(notes.size);
    if (!notes.Read(xml_.data(), notes.size, 0) || !ReadAnnotation(xml_, &image)) return false;

    const File file(entry.image_path);
    JpegHeader header;
    if (!Probe(file, &header)) return false;
    const bool stated = image.width != 0 && image.height != 0;
    if (stated && (image.width != header.width || image.height != header.height)) return false;

    image.key = entry.key;
    image.split = entry.split;
    image.image_path = entry.image_path;
    image.annotation_path = entry.annotation_path;
    image.format = "jpeg";
    image.width = header.width;
    image.height = header.height;
    image.orientation = 1;
    if (!HasGoodBoxes(image)) return false;
    if (!WriteExample(image, file.size, nullptr, &before_, &after_, &text_)) return false;
    out->bytes = file.size;
    out->mtime_ns = file.mtime_ns;
    out->record_bytes = before_.size() + file.size + after_.size() + kFrame;
    out->objects = image.objects.size();
    WriteImage(image, &messages);
    image.image_path = FileName(image);  // the digest is not of where the files are
    image.annotation_path = "";
    WriteImage(image, &digested);
    for (const Object& object : image.objects) {
      if (known_.emplace(object.label).second) labels.append(object.label).push_back('\0');
    }
    for (const Metadata& item : image.metadata) {
      if (!known_columns_.emplace(item.name).second) continue;
      columns.append(item.name).push_back('\0');
      columns.append(item.kind == Metadata::Kind::kBool ? "bool" : "string").push_back('\0');
      columns.append(std::to_string(place)).push_back('\0');
    }
    return true;
  }

  bool Probe(const File& file, JpegHeader* header) {
    if (file.size < 4 || file.size > kLargestImage) return false;
    char head[kHead], tail[2];
    const int64_t ahead = file.size < kHead ? file.size : kHead;
    return file.Read(head, ahead, 0) && file.Read(tail, 2, file.size - 2) &&
           std::memcmp(tail, "\xff\xd9", 2) == 0 &&
           ReadJpegHeader(std::string_view(head, ahead), header);
  }

  std::string xml_, before_, after_, text_;
  std::set<std::string> known_, known_columns_;
};

}  // namespace
}  // namespace tfstream::packing

// Scans `count` entries, given as key, split, image and annotation path with a NUL behind each.
extern "C" __attribute__((visibility("default"))) void TfstreamPackScan(
    const char* entries, int64_t count, tfstream::packing::Scanned* out,
    tfstream::packing::Found* found) {
  using tfstream::packing::Scanner;
  static thread_local Scanner scanner;
  scanner = Scanner();
  for (int64_t place = 0; place < count; ++place) {
    const char* fields[4];
    for (const char*& field : fields) {
      field = entries;
      entries += std::strlen(entries) + 1;
    }
    out[place] = {};
    out[place].taken =
        scanner.Scan({fields[0], fields[1], fields[2], fields[3]}, place, &out[place]);
    out[place].entry_end = scanner.messages.size();
    out[place].digested_end = scanner.digested.size();
  }
  *found = {scanner.messages.data(),
            scanner.digested.data(),
            scanner.labels.data(),
            static_cast<int64_t>(scanner.labels.size()),
            scanner.columns.data(),
            static_cast<int64_t>(scanner.columns.size())};
}
