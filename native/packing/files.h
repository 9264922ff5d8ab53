// Files of the tree, read through as few system calls as will do.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>

namespace tfstream::packing {

class File {
 public:
  // Not blocking: to open a pipe would wait for whoever writes to it.
  explicit File(const char* path) : descriptor_(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    struct stat status;
    if (descriptor_ < 0 || fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) return;
    size = status.st_size;
    mtime_ns = int64_t{status.st_mtim.tv_sec} * 1000000000 + status.st_mtim.tv_nsec;
  }
  ~File() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  // False where not all of it comes: whoever reads the file again says why.
  bool Read(char* into, int64_t bytes, int64_t offset) const {
    while (bytes > 0) {
      const ssize_t got = pread(descriptor_, into, bytes, offset);
      if (got <= 0) return false;
      into += got, offset += got, bytes -= got;
    }
    return true;
  }

  int64_t size = -1;  // -1: it is no file, or cannot be read
  int64_t mtime_ns = 0;

 private:
  int descriptor_;
};

}  // namespace tfstream::packing
