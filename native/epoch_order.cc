// TfstreamEpochOrder: positions of an epoch -> record numbers and random draws.
#include "op.h"
#include "order.h"

namespace tfstream {
namespace {

class EpochOrderKernel {
 public:
  EpochOrderKernel(TF_OpKernelConstruction* construction, Status* status) {
    const std::pair<const char*, int64_t*> attributes[] = {
        {"records", &records_}, {"seed", &seed_},         {"lanes", &lanes_},
        {"block_size", &block_size_}, {"draws", &draws_},
    };
    for (const auto& [name, value] : attributes) {
      TF_OpKernelConstruction_GetAttrInt64(construction, name, value, status->get());
      if (!status->ok()) return;
    }
    unsigned char shuffle = 0;
    TF_OpKernelConstruction_GetAttrBool(construction, "shuffle", &shuffle, status->get());
    if (!status->ok()) return;
    shuffle_ = shuffle != 0;
    if (records_ < 0 || lanes_ < 1 || block_size_ < 1 || draws_ < 0 || draws_ > 64 ||
        records_ > (int64_t{1} << 48) || block_size_ > (int64_t{1} << 48))
      status->Set(TF_INVALID_ARGUMENT,
                  Format("tfstream: no order of records=%lld, lanes=%lld, block_size=%lld, draws=%lld",
                         (long long)records_, (long long)lanes_, (long long)block_size_,
                         (long long)draws_));
  }

  void Compute(TF_OpKernelContext* context, Status* status) const {
    const Tensor positions = Tensor::Input(context, 0, status);
    if (!status->ok()) return;
    const Tensor epoch = Tensor::Input(context, 1, status);
    if (!status->ok()) return;
    if (positions.rank() != 1 || epoch.rank() != 0) {
      status->Set(TF_INVALID_ARGUMENT,
                  Format("tfstream: positions must be a vector and epoch a scalar (got ranks %d and %d)",
                         positions.rank(), epoch.rank()));
      return;
    }
    const int64_t n = positions.size();
    const auto* position = positions.data<int64_t>();
    for (int64_t i = 0; i < n; ++i) {
      if (position[i] < 0 || position[i] >= records_) {
        status->Set(TF_INVALID_ARGUMENT,
                    Format("tfstream: position %lld is outside an epoch of %lld records",
                           (long long)position[i], (long long)records_));
        return;
      }
    }
    const Tensor numbers = Tensor::Output(context, 0, TF_INT64, {n}, 8, status);
    if (!status->ok()) return;
    const Tensor uniforms = Tensor::Output(context, 1, TF_FLOAT, {n, draws_}, 4, status);
    if (!status->ok() || n == 0) return;

    const auto e = static_cast<uint64_t>(*epoch.data<int64_t>());
    const EpochOrder order(records_, seed_, e, lanes_, block_size_, shuffle_);
    const Draws draws(seed_, e);
    for (int64_t i = 0; i < n; ++i) {
      numbers.data<int64_t>()[i] = order.Record(position[i]);
      for (int64_t d = 0; d < draws_; ++d)
        uniforms.data<float>()[i * draws_ + d] = draws.Uniform(position[i], d);
    }
  }

 private:
  int64_t records_ = 0, seed_ = 0, lanes_ = 1, block_size_ = 1, draws_ = 0;
  bool shuffle_ = true;
};

}  // namespace

void RegisterEpochOrder() {
  RegisterOp("TfstreamEpochOrder", {"positions: int64", "epoch: int64"},
             {"records_at: int64", "uniforms: float"},
             {"records: int", "seed: int", "lanes: int", "block_size: int", "shuffle: bool",
              "draws: int"},
             /*stateful=*/false, [](TF_ShapeInferenceContext* context, TF_Status* status) {
               TF_ShapeHandle* shape = TF_NewShapeHandle();
               TF_ShapeInferenceContextGetInput(context, 0, shape, status);
               if (TF_GetCode(status) == TF_OK)
                 TF_ShapeInferenceContextSetOutput(context, 0, shape, status);
               TF_DeleteShapeHandle(shape);
             });
  RegisterKernel<EpochOrderKernel>("TfstreamEpochOrder");
}

}  // namespace tfstream
