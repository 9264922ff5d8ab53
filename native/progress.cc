#include "progress.h"

#include <unordered_map>

namespace tfstream {

Progress& ProgressOf(int64_t stream) {
  static std::mutex mutex;
  static auto* all = new std::unordered_map<int64_t, Progress>();
  std::lock_guard<std::mutex> lock(mutex);
  return (*all)[stream];
}

}  // namespace tfstream

extern "C" {

// Nanoseconds.
__attribute__((visibility("default"))) int64_t tfstream_waited(int64_t stream) {
  tfstream::Progress& progress = tfstream::ProgressOf(stream);
  std::lock_guard<std::mutex> lock(progress.mutex);
  return progress.waited;
}

// Has the next iteration begin at a position of an epoch, and those after it at the following
// epochs.
__attribute__((visibility("default"))) void tfstream_restore(int64_t stream, int64_t epoch,
                                                             int64_t position) {
  tfstream::Progress& progress = tfstream::ProgressOf(stream);
  std::lock_guard<std::mutex> lock(progress.mutex);
  progress.restored = true;
  progress.ending = false;
  progress.epoch = epoch;
  progress.position = position;
  progress.iterations = progress.delivered = 0;
}

// Writes the epoch and position of the first iteration, how many have begun since, and how many
// elements of the newest were delivered. False: the stream has not begun, nor been restored.
__attribute__((visibility("default"))) bool tfstream_progress(int64_t stream, int64_t* out) {
  tfstream::Progress& progress = tfstream::ProgressOf(stream);
  std::lock_guard<std::mutex> lock(progress.mutex);
  out[0] = progress.epoch;
  out[1] = progress.position;
  out[2] = progress.iterations;
  out[3] = progress.delivered;
  return progress.restored || progress.iterations > 0;
}
}
