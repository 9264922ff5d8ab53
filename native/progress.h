// How far each stream has come in this process.
#pragma once

#include <cstdint>
#include <mutex>

namespace tfstream {

struct Progress {
  std::mutex mutex;
  bool restored = false;   // from Python; otherwise the graph says where to begin
  int64_t epoch = 0;       // of the first iteration
  int64_t position = 0;    // in it: samples, over all workers
  int64_t iterations = 0;  // begun since
  bool ending = false;     // what begins next is no iteration, but the end of one
  int64_t delivered = 0;   // elements of the newest iteration
  int64_t waited = 0;      // nanoseconds, by whoever iterates
};

// Stays where it is.
Progress& ProgressOf(int64_t stream);

}  // namespace tfstream
