// TfstreamBeginIteration: which iteration of a stream begins, and where. A tf.data pipeline that
// Keras iterates anew each epoch learns from it which epoch is due, without a variable that a
// session would have to initialise and that a serialized graph could not carry.
//
// An iteration that begins within an epoch has fewer elements than its dataset says. A tf.data
// pipeline of known length may end early only if it repeats something that is empty the second time:
// TfstreamEndIteration has the next beginning be that. An iterator that is given up in between leaves
// that to the next one: so each says, before it begins, that nothing has ended.
#include "op.h"
#include "progress.h"

namespace tfstream {
namespace {

class BeginIterationKernel {
 public:
  BeginIterationKernel(TF_OpKernelConstruction* construction, Status* status) {
    const std::pair<const char*, int64_t*> attributes[] = {
        {"stream", &stream_}, {"epoch", &epoch_}, {"position", &position_}};
    for (const auto& [name, value] : attributes) {
      TF_OpKernelConstruction_GetAttrInt64(construction, name, value, status->get());
      if (!status->ok()) return;
    }
  }

  void Compute(TF_OpKernelContext* context, Status* status) const {
    int64_t* out[3];
    for (int place = 0; place < 3; ++place) {
      const Tensor tensor = Tensor::Output(context, place, TF_INT64, {}, 8, status);
      if (!status->ok()) return;
      out[place] = tensor.data<int64_t>();
    }
    Progress& progress = ProgressOf(stream_);
    std::lock_guard<std::mutex> lock(progress.mutex);
    if (progress.ending) {
      progress.ending = false;
      *out[0] = -1;
      *out[1] = *out[2] = 0;
      return;
    }
    if (!progress.restored) {
      progress.epoch = epoch_;
      progress.position = position_;
    }
    *out[0] = progress.iterations;
    *out[1] = progress.epoch;
    *out[2] = progress.iterations == 0 ? progress.position : 0;
    ++progress.iterations;
    progress.delivered = 0;
  }

 private:
  int64_t stream_ = 0, epoch_ = 0, position_ = 0;
};

class EndIterationKernel {
 public:
  EndIterationKernel(TF_OpKernelConstruction* construction, Status* status) {
    TF_OpKernelConstruction_GetAttrInt64(construction, "stream", &stream_, status->get());
  }

  void Compute(TF_OpKernelContext* context, Status* status) const {
    const Tensor end = Tensor::Input(context, 0, status);
    if (!status->ok()) return;
    const Tensor out = Tensor::Output(context, 0, TF_BOOL, {}, 1, status);
    if (!status->ok()) return;
    *out.data<uint8_t>() = *end.data<uint8_t>();
    Progress& progress = ProgressOf(stream_);
    std::lock_guard<std::mutex> lock(progress.mutex);
    progress.ending = *end.data<uint8_t>() != 0;
  }

 private:
  int64_t stream_ = 0;
};

void ScalarShapes(TF_ShapeInferenceContext* context, int count, TF_Status* status) {
  TF_ShapeHandle* scalar = TF_ShapeInferenceContextScalar(context);
  for (int place = 0; place < count; ++place)
    TF_ShapeInferenceContextSetOutput(context, place, scalar, status);
  TF_DeleteShapeHandle(scalar);
}

}  // namespace

void RegisterBeginIteration() {
  RegisterOp("TfstreamBeginIteration", {},
             {"iteration: int64", "first_epoch: int64", "first_position: int64"},
             {"stream: int", "epoch: int = 0", "position: int = 0"},
             /*stateful=*/true, [](TF_ShapeInferenceContext* context, TF_Status* status) {
               ScalarShapes(context, 3, status);
             });
  RegisterKernel<BeginIterationKernel>("TfstreamBeginIteration");
  RegisterOp("TfstreamEndIteration", {"end: bool"}, {"ended: bool"}, {"stream: int"},
             /*stateful=*/true, [](TF_ShapeInferenceContext* context, TF_Status* status) {
               ScalarShapes(context, 1, status);
             });
  RegisterKernel<EndIterationKernel>("TfstreamEndIteration");
}

}  // namespace tfstream
