// Framed records as they lie in a TFRecord file: reading many at a time, and
// telling whether each is sound.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "op.h"

namespace tfstream {

// What a stream has read in this process, by stream number.
struct ReadCounters {
  std::atomic<int64_t> records{0}, bytes{0}, requests{0}, corrupt{0};
  std::atomic<int64_t> first{0}, newest{0};  // nanoseconds of a clock; 0: none yet

  void CountRecord();
};
std::shared_ptr<ReadCounters> CountersOf(int64_t stream);

constexpr int64_t kHeader = 12;  // bytes: u64 length, u32 its checksum
constexpr int64_t kFooter = 4;   // bytes: u32 checksum of the payload

struct Frame {
  int64_t number;          // place in the output
  int32_t file;            // the caller's own number of the file it is in
  int64_t offset, length;  // of the frame, in bytes
  uint8_t head[kHeader];
  uint8_t foot[kFooter];
  char* payload = nullptr;

  int64_t end() const { return offset + length; }
  int64_t payload_bytes() const { return length - kHeader - kFooter; }
};

// Where an op puts what it reads.
struct Output {
  uint8_t* records;  // string elements
  uint8_t* sound;    // one byte each

  // nullptr when memory is short.
  char* Allocate(const Frame& frame) const {
    Clear(frame);
    return StringElement::Allocate(records + frame.number * StringElement::kBytes,
                                   frame.payload_bytes());
  }
  void Clear(const Frame& frame) const {
    StringElement::Clear(records + frame.number * StringElement::kBytes);
  }
};

// Is told what is wrong with a frame; false ends the reading.
using OnFlaw = std::function<bool(const Frame&, const std::string& flaw)>;

// Reads the frames from `begin` up to `end`, which are sorted by offset, from a
// file of `size` bytes: neighbours by one system call, straight into `output`.
// Nothing in a file or an index is trusted: no length leads to an allocation
// larger than the file it points into.
// Returns 0, or the errno of a failure, and in `where` the byte it was at.
int ReadFrames(int fd, int64_t size, Frame* begin, Frame* end, const Output& output,
               ReadCounters* counters, const OnFlaw& on_flaw, int64_t* where);

// Takes one frame from memory, where `frame->length` bytes of it lie.
// Returns 0 or the errno of a failure.
int CopyFrame(const uint8_t* bytes, Frame* frame, const Output& output, ReadCounters* counters,
              const OnFlaw& on_flaw);

}  // namespace tfstream
