// TfstreamCountWaiting: how long whoever iterates a stream has waited for it, and how many elements
// it took. tf.data pulls elements inside the training step, where nothing of Python sees it: so the
// pipeline itself takes the time before and after.
#include <chrono>

#include "op.h"
#include "progress.h"

namespace tfstream {
namespace {

class CountWaitingKernel {
 public:
  CountWaitingKernel(TF_OpKernelConstruction* construction, Status* status) {
    int64_t stream = 0;
    TF_OpKernelConstruction_GetAttrInt64(construction, "stream", &stream, status->get());
    progress_ = &ProgressOf(stream);
  }

  void Compute(TF_OpKernelContext* context, Status* status) const {
    const Tensor since = Tensor::Input(context, 0, status);
    if (!status->ok()) return;
    const Tensor now = Tensor::Output(context, 0, TF_INT64, {}, 8, status);
    if (!status->ok()) return;
    *now.data<int64_t>() = std::chrono::duration_cast<std::chrono::nanoseconds>(
                               std::chrono::steady_clock::now().time_since_epoch())
                               .count();
    if (*since.data<int64_t>() <= 0) return;
    std::lock_guard<std::mutex> lock(progress_->mutex);
    progress_->waited += *now.data<int64_t>() - *since.data<int64_t>();
    ++progress_->delivered;
  }

 private:
  Progress* progress_ = nullptr;
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
