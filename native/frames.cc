#include "frames.h"

#include <errno.h>
#include <sys/uio.h>
#include <time.h>

#include <mutex>
#include <unordered_map>
#include <vector>

#include "crc32c.h"

namespace tfstream {
namespace {

constexpr int64_t kMaxGap = 16 << 10;  // bytes read and thrown away rather than skipped
constexpr int kMaxVectors = 1000;      // below IOV_MAX

uint32_t Load32(const uint8_t* p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return v;
}

// Empty when the frame is sound, otherwise what is wrong with it.
std::string Flaw(const Frame& f) {
  uint64_t stated;
  memcpy(&stated, f.head, 8);
  if (MaskedCrc32c(f.head, 8) != Load32(f.head + 8))
    return "the checksum of its length does not match";
  if (stated != static_cast<uint64_t>(f.payload_bytes()))
    return Format("its length is %llu bytes, where the index says %lld",
                  (unsigned long long)stated, (long long)f.payload_bytes());
  const uint32_t stored = Load32(f.foot), found = MaskedCrc32c(f.payload, f.payload_bytes());
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

// Hands on a frame that has been read whole, or what is wrong with it.
bool Settle(const Frame& frame, const std::string& flaw, const Output& output,
            ReadCounters* counters, const OnFlaw& on_flaw) {
  if (flaw.empty()) {
    output.sound[frame.number] = 1;
    counters->CountRecord();
    return true;
  }
  output.Clear(frame);
  return on_flaw(frame, flaw);
}

}  // namespace

void ReadCounters::CountRecord() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  newest = now.tv_sec * int64_t{1000000000} + now.tv_nsec;
  int64_t none = 0;
  first.compare_exchange_strong(none, newest);
  records += 1;
}

std::shared_ptr<ReadCounters> CountersOf(int64_t stream) {
  static auto* mutex = new std::mutex();
  static auto* all = new std::unordered_map<int64_t, std::shared_ptr<ReadCounters>>();
  std::lock_guard<std::mutex> lock(*mutex);
  auto& counters = (*all)[stream];
  if (counters == nullptr) counters = std::make_shared<ReadCounters>();
  return counters;
}

int ReadFrames(int fd, int64_t size, Frame* begin, Frame* end, const Output& output,
               ReadCounters* counters, const OnFlaw& on_flaw, int64_t* where) {
  std::vector<iovec> vectors;
  std::vector<Frame*> run;
  static thread_local std::vector<char> gap(kMaxGap);
  for (Frame* f = begin; f != end;) {
    vectors.clear();
    run.clear();
    int64_t at = f->offset;
    for (; f != end && vectors.size() + 4 <= kMaxVectors; ++f) {
      if (f->length < kHeader + kFooter || f->offset < 0 || f->offset > size - f->length) {
        const std::string flaw =
            Format("the index places it at %lld bytes from byte %lld, in a file of %lld bytes",
                   (long long)f->length, (long long)f->offset, (long long)size);
        if (!on_flaw(*f, flaw)) return 0;
        continue;
      }
      const int64_t distance = f->offset - at;
      if (!run.empty() && (distance < 0 || distance > kMaxGap)) break;
      f->payload = output.Allocate(*f);
      if (f->payload == nullptr) {
        *where = f->offset;
        return ENOMEM;
      }
      if (!run.empty() && distance > 0)
        vectors.push_back({gap.data(), static_cast<size_t>(distance)});
      vectors.push_back({f->head, kHeader});
      if (f->payload_bytes() > 0)
        vectors.push_back({f->payload, static_cast<size_t>(f->payload_bytes())});
      vectors.push_back({f->foot, kFooter});
      run.push_back(f);
      at = f->end();
    }
    if (run.empty()) continue;
    const int64_t first = run.front()->offset;
    const int64_t read = ReadAll(fd, &vectors, first);
    if (read < 0) {
      *where = first;
      return errno;
    }
    counters->requests += 1;
    counters->bytes += read;
    for (Frame* each : run) {
      const std::string flaw =
          each->end() - first > read ? "the file ends inside it" : Flaw(*each);
      if (!Settle(*each, flaw, output, counters, on_flaw)) return 0;
    }
  }
  return 0;
}

int CopyFrame(const uint8_t* bytes, Frame* frame, const Output& output, ReadCounters* counters,
              const OnFlaw& on_flaw) {
  frame->payload = output.Allocate(*frame);
  if (frame->payload == nullptr) return ENOMEM;
  memcpy(frame->head, bytes, kHeader);
  memcpy(frame->payload, bytes + kHeader, frame->payload_bytes());
  memcpy(frame->foot, bytes + kHeader + frame->payload_bytes(), kFooter);
  counters->bytes += frame->length;
  Settle(*frame, Flaw(*frame), output, counters, on_flaw);
  return 0;
}

}  // namespace tfstream
