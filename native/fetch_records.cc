// TfstreamFetchRecords: records of a dataset that is not on local disk, by number.
//
// The bytes come through the fetcher of this process, which is Python: the op
// hands it the numbers under a ticket, and waits. The fetcher finds out where
// the records lie, sees to it that their bytes are in memory or in the page
// cache, and delivers them from a thread of its own (or at once, where all are
// there): `tfstream_deliver` reads and checks them without Python's lock.
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "frames.h"

namespace tfstream {
namespace {

// Set by Python; answers by one of the functions at the end of this file.
using Fetch = void (*)(int64_t ticket, int64_t stream, bool skip_corrupt, const char* source,
                       const int64_t* numbers, int64_t n, const int64_t* samples);
std::atomic<Fetch> fetch{nullptr};

// Where the bytes of one record's frame are. The same struct stands in fetch/kernel.py.
struct Place {
  int64_t number;   // place in the output
  int64_t offset;   // in the file; without meaning in memory
  int64_t length;   // of the frame, in bytes
  int64_t address;  // in memory; 0: in the file
  int64_t fd;       // of the file
};

// One run of the op.
struct Call {
  Output output;
  int64_t count;
  ReadCounters* counters;

  std::mutex mutex;
  std::condition_variable changed;
  bool ended = false;
  int code = TF_OK;
  std::string message;

  void End(int with, const std::string& text) {
    std::lock_guard<std::mutex> lock(mutex);
    ended = true;
    code = with;
    message = text;
    changed.notify_all();
  }
};

class Calls {
 public:
  int64_t Add(const std::shared_ptr<Call>& call) {
    std::lock_guard<std::mutex> lock(mutex_);
    calls_[++last_] = call;
    return last_;
  }
  std::shared_ptr<Call> Find(int64_t ticket) {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = calls_.find(ticket);
    return found == calls_.end() ? nullptr : found->second;
  }
  void Remove(int64_t ticket) {
    std::lock_guard<std::mutex> lock(mutex_);
    calls_.erase(ticket);
  }

 private:
  std::mutex mutex_;
  int64_t last_ = 0;
  std::unordered_map<int64_t, std::shared_ptr<Call>> calls_;
};

Calls& OpenCalls() {
  static auto* calls = new Calls();
  return *calls;
}

class FetchRecordsKernel {
 public:
  FetchRecordsKernel(TF_OpKernelConstruction* construction, Status* status) {
    TF_OpKernelConstruction_GetAttrInt64(construction, "stream", &stream_, status->get());
    if (!status->ok()) return;
    unsigned char skip = 0;
    TF_OpKernelConstruction_GetAttrBool(construction, "skip_corrupt", &skip, status->get());
    if (!status->ok()) return;
    skip_corrupt_ = skip != 0;
    counters_ = CountersOf(stream_);
  }

  void Compute(TF_OpKernelContext* context, Status* status) const {
    const Tensor numbers = Tensor::Input(context, 0, status);
    if (!status->ok()) return;
    const Tensor samples = Tensor::Input(context, 1, status);
    if (!status->ok()) return;
    const Tensor source = Tensor::Input(context, 2, status);
    if (!status->ok()) return;
    if (numbers.rank() != 1 || source.rank() != 0 || samples.rank() != 1 || samples.size() != 3) {
      status->Set(TF_INVALID_ARGUMENT,
                  Format("tfstream: numbers must be a vector, samples one of 3 and source a scalar "
                         "(got ranks %d, %d and %d)",
                         numbers.rank(), samples.rank(), source.rank()));
      return;
    }
    const int64_t n = numbers.size();
    const Tensor records =
        Tensor::Output(context, 0, TF_STRING, {n}, StringElement::kBytes, status);
    if (!status->ok()) return;
    const Tensor sound = Tensor::Output(context, 1, TF_BOOL, {n}, 1, status);
    if (!status->ok() || n == 0) return;
    memset(sound.data<uint8_t>(), 0, n);
    const Fetch function = fetch.load();
    if (function == nullptr) {
      status->Set(TF_UNAVAILABLE,
                  "tfstream: this process has no fetcher. Import tfstream in it; for a tf.data "
                  "service, start its workers by `tfstream worker`.");
      return;
    }
    const auto call = std::make_shared<Call>();
    call->output = Output{records.data<uint8_t>(), sound.data<uint8_t>()};
    call->count = n;
    call->counters = counters_.get();
    const int64_t ticket = OpenCalls().Add(call);
    const std::string text = StringElement::Read(source.data<uint8_t>());
    function(ticket, stream_, skip_corrupt_, text.c_str(), numbers.data<int64_t>(), n,
             samples.data<int64_t>());
    {
      std::unique_lock<std::mutex> lock(call->mutex);
      call->changed.wait(lock, [&] { return call->ended; });
    }
    OpenCalls().Remove(ticket);
    if (call->code != TF_OK) status->Set(static_cast<TF_Code>(call->code), call->message);
  }

 private:
  int64_t stream_ = 0;
  bool skip_corrupt_ = false;
  std::shared_ptr<ReadCounters> counters_;
};

}  // namespace

void RegisterFetchRecords() {
  RegisterOp("TfstreamFetchRecords", {"numbers: int64", "samples: int64", "source: string"},
             {"records: string", "sound: bool"}, {"stream: int", "skip_corrupt: bool = false"},
             /*stateful=*/true, [](TF_ShapeInferenceContext* context, TF_Status* status) {
               TF_ShapeHandle* shape = TF_NewShapeHandle();
               TF_ShapeInferenceContextGetInput(context, 0, shape, status);
               for (int i = 0; i < 2 && TF_GetCode(status) == TF_OK; ++i)
                 TF_ShapeInferenceContextSetOutput(context, i, shape, status);
               TF_DeleteShapeHandle(shape);
             });
  RegisterKernel<FetchRecordsKernel>("TfstreamFetchRecords");
}

}  // namespace tfstream

// What Python calls through ctypes.
extern "C" {

__attribute__((visibility("default"))) void tfstream_set_fetch(tfstream::Fetch function) {
  tfstream::fetch = function;
}

// Reads and checks records of a ticket. `flaws` has room for `flaw_bytes` a
// record: what is wrong with each in turn, as text; empty where it is sound.
// Returns how many have a flaw; or -1 - errno where reading failed.
__attribute__((visibility("default"))) int64_t tfstream_deliver(int64_t ticket,
                                                                const tfstream::Place* places,
                                                                int64_t n, char* flaws,
                                                                int64_t flaw_bytes) {
  using namespace tfstream;
  const std::shared_ptr<Call> call = OpenCalls().Find(ticket);
  if (call == nullptr) return -1 - ENOENT;
  std::lock_guard<std::mutex> lock(call->mutex);  // the op's tensors live until it has ended
  if (call->ended) return -1 - ECANCELED;
  int64_t bad = 0;
  // `file` is here the place's number: what a flaw is written to.
  const OnFlaw on_flaw = [&](const Frame& frame, const std::string& flaw) {
    ++bad;
    snprintf(flaws + frame.file * flaw_bytes, flaw_bytes, "%s", flaw.c_str());
    return true;
  };
  std::vector<Frame> stored;
  for (int64_t i = 0; i < n; ++i) {
    const Place& place = places[i];
    flaws[i * flaw_bytes] = 0;
    if (place.number < 0 || place.number >= call->count) return -1 - EINVAL;
    Frame frame;
    frame.number = place.number;
    frame.file = static_cast<int32_t>(i);
    frame.offset = place.offset;
    frame.length = place.length;
    if (place.length < kHeader + kFooter) {
      on_flaw(frame, Format("the index says it is %lld bytes long", (long long)place.length));
    } else if (place.address == 0) {
      stored.push_back(frame);
    } else {
      const int error = CopyFrame(reinterpret_cast<const uint8_t*>(place.address), &frame,
                                  call->output, call->counters, on_flaw);
      if (error != 0) return -1 - error;
    }
  }
  std::sort(stored.begin(), stored.end(), [&](const Frame& a, const Frame& b) {
    const int64_t left = places[a.file].fd, right = places[b.file].fd;
    return left != right ? left < right : a.offset < b.offset;
  });
  for (size_t begin = 0; begin < stored.size();) {
    size_t end = begin;
    const int fd = static_cast<int>(places[stored[begin].file].fd);
    while (end < stored.size() && places[stored[end].file].fd == fd) ++end;
    struct stat info;
    if (fstat(fd, &info) != 0) return -1 - errno;
    int64_t where;
    const int error = ReadFrames(fd, info.st_size, &stored[begin], &stored[end - 1] + 1,
                                 call->output, call->counters, on_flaw, &where);
    if (error != 0) return -1 - error;
    begin = end;
  }
  return bad;
}

// Ends the op: with what has been delivered, where the code is 0 (TF_OK).
__attribute__((visibility("default"))) void tfstream_end(int64_t ticket, int code,
                                                         const char* message) {
  const auto call = tfstream::OpenCalls().Find(ticket);
  if (call != nullptr) call->End(code, message);
}
}
