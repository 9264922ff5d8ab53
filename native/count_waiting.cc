// TfstreamCountWaiting: how long whoever iterates a stream has waited for it.
// tf.data pulls elements inside the training step, where nothing of Python
// sees it: so the pipeline itself takes the time before and after.
#include <atomic>
#include <chrono>
#include <mutex>
#include <unordered_map>

#include "op.h"

namespace tfstream {
namespace {

std::atomic<int64_t>& NanosecondsOf(int64_t stream) {
  static std::mutex mutex;
  static auto* waited = new std::unordered_map<int64_t, std::atomic<int64_t>>();
  std::lock_guard<std::mutex> lock(mutex);
  return (*waited)[stream];  // stays where it is when others are added
}

class CountWaitingKernel {
 public:
  CountWaitingKernel(TF_OpKernelConstruction* construction, Status* status) {
    int64_t stream = 0;
    TF_OpKernelConstruction_GetAttrInt64(construction, "stream", &stream, status->get());
    waited_ = &NanosecondsOf(stream);
  }

  void Compute(TF_OpKernelContext* context, Status* status) const {
    const Tensor since = Tensor::Input(context, 0, status);
    if (!status->ok()) return;
    const Tensor now = Tensor::Output(context, 0, TF_INT64, {}, 8, status);
    if (!status->ok()) return;
    *now.data<int64_t>() = std::chrono::duration_cast<std::chrono::nanoseconds>(
                               std::chrono::steady_clock::now().time_since_epoch())
                               .count();
    if (*since.data<int64_t>() > 0) *waited_ += *now.data<int64_t>() - *since.data<int64_t>();
  }

 private:
  std::atomic<int64_t>* waited_ = nullptr;
};

}  // namespace

void RegisterCountWaiting() {
  RegisterOp("TfstreamCountWaiting", {"since: int64"}, {"now: int64"}, {"stream: int"},
             /*stateful=*/true, [](TF_ShapeInferenceContext* context, TF_Status* status) {
               TF_ShapeHandle* scalar = TF_ShapeInferenceContextScalar(context);
               TF_ShapeInferenceContextSetOutput(context, 0, scalar, status);
               TF_DeleteShapeHandle(scalar);
             });
  RegisterKernel<CountWaitingKernel>("TfstreamCountWaiting");
}

}  // namespace tfstream

extern "C" {

// Nanoseconds.
__attribute__((visibility("default"))) int64_t tfstream_waited(int64_t stream) {
  return tfstream::NanosecondsOf(stream);
}
}
