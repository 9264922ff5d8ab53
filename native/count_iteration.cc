// TfstreamCountIteration: how often a stream has been iterated in this
// process. A tf.data pipeline that Keras iterates anew each epoch learns from
// it which epoch is due, without a variable that a session would have to
// initialise and that a serialized graph could not carry.
#include <mutex>
#include <unordered_map>

#include "op.h"

namespace tfstream {
namespace {

std::mutex mutex;
std::unordered_map<int64_t, int64_t>& Counts() {
  static auto* counts = new std::unordered_map<int64_t, int64_t>();
  return *counts;
}

class CountIterationKernel {
 public:
  CountIterationKernel(TF_OpKernelConstruction* construction, Status* status) {
    TF_OpKernelConstruction_GetAttrInt64(construction, "stream", &stream_, status->get());
  }

  void Compute(TF_OpKernelContext* context, Status* status) const {
    const Tensor count = Tensor::Output(context, 0, TF_INT64, {}, 8, status);
    if (!status->ok()) return;
    std::lock_guard<std::mutex> lock(mutex);
    *count.data<int64_t>() = Counts()[stream_]++;
  }

 private:
  int64_t stream_ = 0;
};

}  // namespace

void RegisterCountIteration() {
  RegisterOp("TfstreamCountIteration", {}, {"count: int64"}, {"stream: int"},
             /*stateful=*/true, [](TF_ShapeInferenceContext* context, TF_Status* status) {
               TF_ShapeHandle* scalar = TF_ShapeInferenceContextScalar(context);
               TF_ShapeInferenceContextSetOutput(context, 0, scalar, status);
               TF_DeleteShapeHandle(scalar);
             });
  RegisterKernel<CountIterationKernel>("TfstreamCountIteration");
}

}  // namespace tfstream
