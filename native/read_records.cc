// TfstreamReadRecords: the framed records at given places of TFRecord files.
//
// Records that lie close together in a file are read by one system call,
// straight into the strings that leave the kernel; both checksums of every
// record are checked. Nothing in a file or an index is trusted: no length
// leads to an allocation larger than the file it points into.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "crc32c.h"
#include "op.h"

namespace tfstream {

// What a stream has read in this process, by stream number.
struct ReadCounters {
  std::atomic<int64_t> records{0}, bytes{0}, requests{0}, corrupt{0};
};

namespace {

constexpr int64_t kHeader = 12;          // bytes: u64 length, u32 its checksum
constexpr int64_t kFooter = 4;           // bytes: u32 checksum of the payload
constexpr int64_t kMaxGap = 16 << 10;    // bytes read and thrown away rather than skipped
constexpr int kMaxVectors = 1000;        // below IOV_MAX
constexpr size_t kMaxOpenFiles = 128;

std::mutex counters_mutex;
std::shared_ptr<ReadCounters> CountersOf(int64_t stream) {
  static auto* all = new std::unordered_map<int64_t, std::shared_ptr<ReadCounters>>();
  std::lock_guard<std::mutex> lock(counters_mutex);
  auto& counters = (*all)[stream];
  if (counters == nullptr) counters = std::make_shared<ReadCounters>();
  return counters;
}

// Set by Python: writes the key of the record at (path, offset) to `out`, at
// most `capacity` bytes with the final 0; false when it is not known.
using KeyOf = bool (*)(const char* path, int64_t offset, char* out, int64_t capacity);
std::atomic<KeyOf> key_of{nullptr};

class File {
 public:
  File(int fd, const struct stat& info) : fd_(fd), device_(info.st_dev), inode_(info.st_ino) {}
  ~File() { close(fd_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  int fd() const { return fd_; }
  bool Is(const struct stat& info) const {
    return info.st_dev == device_ && info.st_ino == inode_;
  }

 private:
  int fd_;
  dev_t device_;
  ino_t inode_;
};

// The files open in this process, least recently used last.
class OpenFiles {
 public:
  // nullptr and errno when the file cannot be opened. `size` in bytes.
  std::shared_ptr<File> Open(const std::string& path, int64_t* size) {
    struct stat info;
    if (stat(path.c_str(), &info) != 0) return nullptr;
    if (!S_ISREG(info.st_mode)) {
      errno = S_ISDIR(info.st_mode) ? EISDIR : EINVAL;
      return nullptr;
    }
    *size = info.st_size;
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = by_path_.find(path);
    if (found != by_path_.end()) {
      if (found->second->second->Is(info)) {
        files_.splice(files_.begin(), files_, found->second);
        return files_.front().second;
      }
      files_.erase(found->second);
      by_path_.erase(found);
    }
    int fd;
    do {
      fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0 || fstat(fd, &info) != 0) {
      if (fd >= 0) close(fd);
      return nullptr;
    }
    *size = info.st_size;
    files_.emplace_front(path, std::make_shared<File>(fd, info));
    by_path_[path] = files_.begin();
    if (files_.size() > kMaxOpenFiles) {
      by_path_.erase(files_.back().first);
      files_.pop_back();
    }
    return files_.front().second;
  }

 private:
  using Entry = std::pair<std::string, std::shared_ptr<File>>;
  std::mutex mutex_;
  std::list<Entry> files_;
  std::unordered_map<std::string, std::list<Entry>::iterator> by_path_;
};

OpenFiles& Files() {
  static auto* files = new OpenFiles();
  return *files;
}

struct Request {
  int64_t number;  // place in the output
  int32_t file;
  int64_t offset, length;  // of the frame, in bytes
  uint8_t head[kHeader];
  uint8_t foot[kFooter];
  char* payload = nullptr;

  int64_t end() const { return offset + length; }
  int64_t payload_bytes() const { return length - kHeader - kFooter; }
};

uint32_t Load32(const uint8_t* p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return v;
}

// Empty when the frame is sound, otherwise what is wrong with it.
std::string Flaw(const Request& r) {
  uint64_t stated;
  memcpy(&stated, r.head, 8);
  if (MaskedCrc32c(r.head, 8) != Load32(r.head + 8))
    return "the checksum of its length does not match";
  if (stated != static_cast<uint64_t>(r.payload_bytes()))
    return Format("its length is %llu bytes, where the index says %lld",
                  (unsigned long long)stated, (long long)r.payload_bytes());
  const uint32_t stored = Load32(r.foot), found = MaskedCrc32c(r.payload, r.payload_bytes());
  if (stored != found)
    return Format("the checksum of its bytes does not match (stored %08x, computed %08x)", stored,
                  found);
  return "";
}

// Fills the vectors from the file. Returns the bytes read: fewer than wanted
// at the end of the file; -1 and errno on failure.
int64_t ReadAll(int fd, std::vector<iovec>* vectors, int64_t offset) {
  int64_t total = 0;
  iovec* next = vectors->data();
  int left = static_cast<int>(vectors->size());
  while (left > 0) {
    const ssize_t n = preadv(fd, next, left, offset + total);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    if (n == 0) return total;
    total += n;
    size_t skip = static_cast<size_t>(n);
    while (left > 0 && skip >= next->iov_len) {
      skip -= next->iov_len;
      ++next, --left;
    }
    if (left > 0) {
      next->iov_base = static_cast<char*>(next->iov_base) + skip;
      next->iov_len -= skip;
    }
  }
  return total;
}

class ReadRecordsKernel {
 public:
  ReadRecordsKernel(TF_OpKernelConstruction* construction, Status* status) {
    int64_t stream = 0;
    TF_OpKernelConstruction_GetAttrInt64(construction, "stream", &stream, status->get());
    if (!status->ok()) return;
    unsigned char skip = 0;
    TF_OpKernelConstruction_GetAttrBool(construction, "skip_corrupt", &skip, status->get());
    if (!status->ok()) return;
    skip_corrupt_ = skip != 0;
    counters_ = CountersOf(stream);
  }

  void Compute(TF_OpKernelContext* context, Status* status) const {
    const char* names[] = {"files", "shards", "offsets", "lengths"};
    Tensor inputs[4];
    for (int i = 0; i < 4; ++i) {
      inputs[i] = Tensor::Input(context, i, status);
      if (!status->ok()) return;
      if (inputs[i].rank() != 1) {
        status->Set(TF_INVALID_ARGUMENT, Format("tfstream: %s must be a vector (got rank %d)",
                                                names[i], inputs[i].rank()));
        return;
      }
    }
    const int64_t n = inputs[1].size();
    if (inputs[2].size() != n || inputs[3].size() != n) {
      status->Set(TF_INVALID_ARGUMENT,
                  Format("tfstream: shards, offsets and lengths must be of one size (got %lld, %lld and %lld)",
                         (long long)n, (long long)inputs[2].size(), (long long)inputs[3].size()));
      return;
    }
    std::vector<Request> requests(n);
    for (int64_t i = 0; i < n; ++i) {
      Request& r = requests[i];
      r.number = i;
      r.file = inputs[1].data<int32_t>()[i];
      r.offset = inputs[2].data<int64_t>()[i];
      r.length = inputs[3].data<int32_t>()[i];
      if (r.file < 0 || r.file >= inputs[0].size()) {
        status->Set(TF_INVALID_ARGUMENT,
                    Format("tfstream: record %lld is in file number %d, but there are %lld files",
                           (long long)i, r.file, (long long)inputs[0].size()));
        return;
      }
    }
    std::sort(requests.begin(), requests.end(), [](const Request& a, const Request& b) {
      return a.file != b.file ? a.file < b.file : a.offset < b.offset;
    });

    const Tensor records =
        Tensor::Output(context, 0, TF_STRING, {n}, StringElement::kBytes, status);
    if (!status->ok()) return;
    const Tensor sound = Tensor::Output(context, 1, TF_BOOL, {n}, 1, status);
    if (!status->ok()) return;
    if (n > 0) memset(sound.data<uint8_t>(), 0, n);

    for (size_t begin = 0; begin < requests.size();) {
      size_t end = begin;
      while (end < requests.size() && requests[end].file == requests[begin].file) ++end;
      const std::string path = StringElement::Read(
          inputs[0].data<uint8_t>() + requests[begin].file * StringElement::kBytes);
      ReadFile(path, &requests[begin], &requests[end - 1] + 1, records, sound, status);
      if (!status->ok()) return;
      begin = end;
    }
  }

 private:
  // All requests in one file, in the order of their offsets.
  void ReadFile(const std::string& path, Request* begin, Request* end, const Tensor& records,
                const Tensor& sound, Status* status) const {
    int64_t size = 0;
    const std::shared_ptr<File> file = Files().Open(path, &size);
    if (file == nullptr) {
      const int error = errno;
      status->Set(error == ENOENT ? TF_NOT_FOUND
                                  : error == EACCES ? TF_PERMISSION_DENIED : TF_UNAVAILABLE,
                  Format("tfstream: cannot open %s: %s", path.c_str(), strerror(error)));
      return;
    }
    std::vector<iovec> vectors;
    std::vector<Request*> run;
    static thread_local std::vector<char> gap(kMaxGap);
    for (Request* r = begin; r != end;) {
      vectors.clear();
      run.clear();
      const int64_t start = r->offset;
      int64_t at = start;
      for (; r != end && vectors.size() + 4 <= kMaxVectors; ++r) {
        if (r->length < kHeader + kFooter || r->offset < 0 || r->offset > size - r->length) {
          Bad(path, *r,
              Format("the index places it at %lld bytes from byte %lld, in a file of %lld bytes",
                     (long long)r->length, (long long)r->offset, (long long)size),
              status);
          if (!status->ok()) return;
          if (run.empty()) {
            ++r;
            break;
          }
          continue;
        }
        const int64_t distance = r->offset - at;
        if (!run.empty() && (distance < 0 || distance > kMaxGap)) break;
        r->payload = StringElement::Allocate(
            records.data<uint8_t>() + r->number * StringElement::kBytes, r->payload_bytes());
        if (r->payload == nullptr) {
          status->Set(TF_RESOURCE_EXHAUSTED,
                      Format("tfstream: no memory for the %lld bytes of the record at byte %lld of %s",
                             (long long)r->length, (long long)r->offset, path.c_str()));
          return;
        }
        if (!run.empty() && distance > 0)
          vectors.push_back({gap.data(), static_cast<size_t>(distance)});
        vectors.push_back({r->head, kHeader});
        if (r->payload_bytes() > 0)
          vectors.push_back({r->payload, static_cast<size_t>(r->payload_bytes())});
        vectors.push_back({r->foot, kFooter});
        run.push_back(r);
        at = r->end();
      }
      if (run.empty()) continue;
      const int64_t first = run.front()->offset;
      const int64_t read = ReadAll(file->fd(), &vectors, first);
      if (read < 0) {
        const int error = errno;
        status->Set(TF_UNAVAILABLE, Format("tfstream: cannot read %s at byte %lld: %s", path.c_str(),
                                           (long long)first, strerror(error)));
        return;
      }
      counters_->requests += 1;
      counters_->bytes += read;
      for (Request* q : run) {
        const std::string flaw =
            q->end() - first > read ? "the file ends inside it" : Flaw(*q);
        if (flaw.empty()) {
          sound.data<uint8_t>()[q->number] = 1;
          counters_->records += 1;
          continue;
        }
        StringElement::Clear(records.data<uint8_t>() + q->number * StringElement::kBytes);
        Bad(path, *q, flaw, status);
        if (!status->ok()) return;
      }
    }
  }

  void Bad(const std::string& path, const Request& r, const std::string& flaw,
           Status* status) const {
    counters_->corrupt += 1;
    char key[512] = "";
    const KeyOf find = key_of.load();
    const bool known = find != nullptr && find(path.c_str(), r.offset, key, sizeof(key));
    const std::string what =
        Format("corrupt record%s%s%s in %s at byte %lld: %s", known ? " '" : "", known ? key : "",
               known ? "'" : "", path.c_str(), (long long)r.offset, flaw.c_str());
    if (skip_corrupt_) {
      fprintf(stderr, "tfstream: skipped a %s\n", what.c_str());
      return;
    }
    status->Set(TF_DATA_LOSS,
                Format("tfstream: %s. `tfstream verify` lists all that is wrong with a dataset; "
                       "on_corrupt=\"skip\" goes on without such records.",
                       what.c_str()));
  }

  bool skip_corrupt_ = false;
  std::shared_ptr<ReadCounters> counters_;
};

}  // namespace

void RegisterReadRecords() {
  RegisterOp("TfstreamReadRecords",
             {"files: string", "shards: int32", "offsets: int64", "lengths: int32"},
             {"records: string", "sound: bool"}, {"stream: int", "skip_corrupt: bool = false"},
             /*stateful=*/true, [](TF_ShapeInferenceContext* context, TF_Status* status) {
               TF_ShapeHandle* shape = TF_NewShapeHandle();
               TF_ShapeInferenceContextGetInput(context, 1, shape, status);
               for (int i = 0; i < 2 && TF_GetCode(status) == TF_OK; ++i)
                 TF_ShapeInferenceContextSetOutput(context, i, shape, status);
               TF_DeleteShapeHandle(shape);
             });
  RegisterKernel<ReadRecordsKernel>("TfstreamReadRecords");
}

}  // namespace tfstream

// What Python calls through ctypes.
extern "C" {

__attribute__((visibility("default"))) void tfstream_set_key_of(tfstream::KeyOf function) {
  tfstream::key_of = function;
}

// records, bytes, requests, corrupt
__attribute__((visibility("default"))) void tfstream_read_counters(int64_t stream, int64_t* out) {
  const auto counters = tfstream::CountersOf(stream);
  out[0] = counters->records;
  out[1] = counters->bytes;
  out[2] = counters->requests;
  out[3] = counters->corrupt;
}
}
