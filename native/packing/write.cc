// The records of a shard on the fast road; `packing/fast.py` calls it.

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <memory>
#include <string>

#include "../crc32c.h"
#include "example.h"
#include "files.h"
#include "jpeg.h"
#include "wire.h"

namespace tfstream::packing {
namespace {

constexpr size_t kHeader = 12, kFooter = 4;  // of a frame
constexpr size_t kTogether = 512 << 10;      // bytes that one system call writes, at least
constexpr int64_t kLargestImage = 1 << 30;   // bytes; a record must stay below 2 GiB

// As Python lays it out: all fields of 8 bytes.
struct Written {
  int64_t length;  // of the frame
  int64_t width, height, orientation, bytes;
  int64_t main;         // index of the main object's label; -1 without objects
  int64_t objects_end;  // of its labels' indices in `labels`, where the next record's begin
  int64_t key_end, format_end, metadata_end;  // of its texts in `texts`, one behind the other
};

// What a call made besides; good until the same thread's next call.
struct Rows {
  const int64_t* labels;
  const char* texts;
  int64_t failed;  // errno where the shard could not be written; 0
};

// An entry of the spool file: `packing/spool.py` writes it.
struct Spooled {
  uint32_t length;
  int64_t size, mtime_ns;
  bool reencode;
  std::string_view message;

  explicit Spooled(const char* entry) {
    std::memcpy(&length, entry, 4);
    std::memcpy(&size, entry + 4, 8);
    std::memcpy(&mtime_ns, entry + 12, 8);
    reencode = entry[20] != 0;
    message = std::string_view(entry + 21, length);
  }
};

// Bytes to be written, in memory that is not cleared before.
class Buffer {
 public:
  char* Room(size_t bytes) {
    if (size + bytes > capacity_) {
      capacity_ = 2 * (size + bytes);
      std::unique_ptr<char[]> larger(new char[capacity_]);
      if (size > 0) std::memcpy(larger.get(), data_.get(), size);
      data_ = std::move(larger);
    }
    return data_.get() + size;
  }

  // 0, or errno.
  int Flush(int descriptor) {
    const char* next = data_.get();
    while (size > 0) {
      const ssize_t done = write(descriptor, next, size);
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) return errno;
      next += done, size -= done;
    }
    return 0;
  }

  size_t size = 0;

 private:
  size_t capacity_ = 0;
  std::unique_ptr<char[]> data_;
};

// Has the disk begin with what was written: whoever syncs the file in the end waits less.
void BeginWriteBack(int descriptor) {
#ifdef __linux__
  sync_file_range(descriptor, 0, 0, SYNC_FILE_RANGE_WRITE);  // not done: the sync does it all
#else
  (void)descriptor;
#endif
}

class Writer {
 public:
  // False where the record is not for the fast road, or memory is short: nothing has been added.
  bool Add(const char* entry, const Labels& labels, Written* out) {
    const size_t bytes = buffer.size, labelled = indices.size(), told = texts.size();
    try {
      if (Make(entry, labels, out)) return true;
    } catch (const std::exception&) {  // bad_alloc, length_error
    }
    buffer.size = bytes;
    indices.resize(labelled);
    texts.resize(told);
    return false;
  }

  Buffer buffer;
  std::vector<int64_t> indices;
  std::string texts;

 private:
  bool Make(const char* entry, const Labels& labels, Written* out) {
    const Spooled spooled(entry);
    Image image;
    if (spooled.reencode || spooled.size < 2 || spooled.size > kLargestImage ||
        !ReadImage(spooled.message, &image)) {
      return false;
    }
    path_.assign(image.image_path);
    const File file(path_.c_str());
    if (file.size != spooled.size || file.mtime_ns != spooled.mtime_ns) return false;
    if (!WriteExample(image, file.size, &labels, &before_, &after_, &metadata_)) return false;

    const size_t payload = before_.size() + file.size + after_.size();
    char* frame = buffer.Room(kHeader + payload + kFooter);
    char* record = frame + kHeader;
    char* picture = record + before_.size();
    if (!file.Read(picture, file.size, 0)) return false;
    const std::string_view data(picture, file.size);
    if (data.substr(0, 2) == "\xff\xd8" && !IsWholeJpeg(data)) return false;
    std::memcpy(record, before_.data(), before_.size());
    std::memcpy(picture + file.size, after_.data(), after_.size());
    const uint64_t stated = payload;
    const uint32_t head = MaskedCrc32c(&stated, sizeof stated);
    const uint32_t foot = MaskedCrc32c(record, payload);
    std::memcpy(frame, &stated, sizeof stated);
    std::memcpy(frame + sizeof stated, &head, sizeof head);
    std::memcpy(record + payload, &foot, sizeof foot);
    buffer.size += kHeader + payload + kFooter;
    Describe(image, labels, file.size, out);
    out->length = kHeader + payload + kFooter;
    return true;
  }

  void Describe(const Image& image, const Labels& labels, int64_t bytes, Written* out) {
    const int main = MainObject(image);
    for (const Object& object : image.objects) {
      indices.push_back(labels.index.find(object.label)->second);
    }
    out->main = main < 0 ? -1 : labels.index.find(image.objects[main].label)->second;
    out->objects_end = indices.size();
    out->width = image.width;
    out->height = image.height;
    out->orientation = image.orientation ? image.orientation : 1;
    out->bytes = bytes;
    out->key_end = texts.append(image.key).size();
    out->format_end = texts.append(image.format).size();
    out->metadata_end = texts.append(metadata_).size();
  }

  std::string before_, after_, metadata_, path_;
};

}  // namespace
}  // namespace tfstream::packing

// Appends to an open file the records of the spool's entries that begin at `offsets`, up to the
// first that is not for the fast road, or cannot be written; returns how many it took.
// `names` are the labels, each with a NUL behind it; `background` is -1 where there is none.
extern "C" __attribute__((visibility("default"))) int64_t TfstreamPackWrite(
    int32_t descriptor, const char* spool, const int64_t* offsets, int64_t count,
    const char* names, int64_t classes, int64_t background, tfstream::packing::Written* out,
    tfstream::packing::Rows* rows) {
  using namespace tfstream::packing;
  static thread_local Writer writer;
  writer.indices.clear();
  writer.texts.clear();
  *rows = {};
  Labels labels;
  labels.background = background;
  try {
    for (int64_t index = 0; index < classes; ++index) {
      const std::string_view name(names);
      labels.index.emplace(name, index);
      names += name.size() + 1;
    }
  } catch (const std::exception&) {  // memory is short: the other road says so
    return 0;
  }
  int failed = 0;
  int64_t done = 0;
  for (; done < count && failed == 0; ++done) {
    if (!writer.Add(spool + offsets[done], labels, &out[done])) break;
    if (writer.buffer.size >= kTogether) failed = writer.buffer.Flush(descriptor);
  }
  if (failed == 0) failed = writer.buffer.Flush(descriptor);
  writer.buffer.size = 0;
  if (done > 0) BeginWriteBack(descriptor);
  *rows = {writer.indices.data(), writer.texts.data(), failed};
  return done;
}
