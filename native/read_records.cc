// TfstreamReadRecords: the framed records at given places of TFRecord files.
//
// The files are local ones; how they are read is in frames.h.
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "frames.h"

namespace tfstream {

namespace {

constexpr size_t kMaxOpenFiles = 128;

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
    std::vector<Frame> frames(n);
    for (int64_t i = 0; i < n; ++i) {
      Frame& r = frames[i];
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
    std::sort(frames.begin(), frames.end(), [](const Frame& a, const Frame& b) {
      return a.file != b.file ? a.file < b.file : a.offset < b.offset;
    });

    const Tensor records =
        Tensor::Output(context, 0, TF_STRING, {n}, StringElement::kBytes, status);
    if (!status->ok()) return;
    const Tensor sound = Tensor::Output(context, 1, TF_BOOL, {n}, 1, status);
    if (!status->ok()) return;
    if (n > 0) memset(sound.data<uint8_t>(), 0, n);

    const Output output{records.data<uint8_t>(), sound.data<uint8_t>()};
    for (size_t begin = 0; begin < frames.size();) {
      size_t end = begin;
      while (end < frames.size() && frames[end].file == frames[begin].file) ++end;
      const std::string path = StringElement::Read(
          inputs[0].data<uint8_t>() + frames[begin].file * StringElement::kBytes);
      ReadFile(path, &frames[begin], &frames[end - 1] + 1, output, status);
      if (!status->ok()) return;
      begin = end;
    }
  }

 private:
  // All frames of one file, in the order of their offsets.
  void ReadFile(const std::string& path, Frame* begin, Frame* end, const Output& output,
                Status* status) const {
    int64_t size = 0, where = 0;
    const std::shared_ptr<File> file = Files().Open(path, &size);
    if (file == nullptr) {
      const int error = errno;
      status->Set(error == ENOENT ? TF_NOT_FOUND
                                  : error == EACCES ? TF_PERMISSION_DENIED : TF_UNAVAILABLE,
                  Format("tfstream: cannot open %s: %s", path.c_str(), strerror(error)));
      return;
    }
    const int error = ReadFrames(file->fd(), size, begin, end, output, counters_.get(),
                                 [&](const Frame& frame, const std::string& flaw) {
                                   Bad(path, frame, flaw, status);
                                   return status->ok();
                                 },
                                 &where);
    if (error != 0)
      status->Set(error == ENOMEM ? TF_RESOURCE_EXHAUSTED : TF_UNAVAILABLE,
                  Format("tfstream: cannot read %s at byte %lld: %s", path.c_str(),
                         (long long)where, strerror(error)));
  }

  void Bad(const std::string& path, const Frame& r, const std::string& flaw,
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

// records, bytes, requests, corrupt, nanoseconds from the first record to the newest
__attribute__((visibility("default"))) void tfstream_read_counters(int64_t stream, int64_t* out) {
  const auto counters = tfstream::CountersOf(stream);
  out[0] = counters->records;
  out[1] = counters->bytes;
  out[2] = counters->requests;
  out[3] = counters->corrupt;
  out[4] = counters->newest - counters->first;
}
}
