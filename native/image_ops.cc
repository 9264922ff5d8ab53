// TfstreamResample: a decoded picture -> what a sample shows of it.
#include <cmath>
#include <new>

#include "op.h"
#include "resample.h"

namespace tfstream {
namespace {

// No side of a picture or a window is longer: what TensorFlow decodes is smaller.
constexpr double kLongestSide = 1 << 20;

// How a kernel was asked to write its pictures.
struct Rendering {
  int height = 0, width = 0;
  Antialias antialias = Antialias::kAuto;
  TF_DataType type = TF_UINT8;
  Normalization normalization;

  void Read(TF_OpKernelConstruction* construction, Status* status) {
    int64_t sides[2] = {};
    char antialias_name[8] = {};
    unsigned char standardize = 0;
    TF_OpKernelConstruction_GetAttrInt64(construction, "out_height", &sides[0], status->get());
    if (!status->ok()) return;
    TF_OpKernelConstruction_GetAttrInt64(construction, "out_width", &sides[1], status->get());
    if (!status->ok()) return;
    TF_OpKernelConstruction_GetAttrString(construction, "antialias", antialias_name,
                                          sizeof(antialias_name) - 1, status->get());
    if (!status->ok()) return;
    TF_OpKernelConstruction_GetAttrType(construction, "T", &type, status->get());
    if (!status->ok()) return;
    TF_OpKernelConstruction_GetAttrFloatList(construction, "scale", normalization.scale, 3,
                                             status->get());
    if (!status->ok()) return;
    TF_OpKernelConstruction_GetAttrFloatList(construction, "offset", normalization.offset, 3,
                                             status->get());
    if (!status->ok()) return;
    TF_OpKernelConstruction_GetAttrBool(construction, "standardize", &standardize, status->get());
    if (!status->ok()) return;
    if (sides[0] < 1 || sides[1] < 1 || sides[0] > 16384 || sides[1] > 16384) {
      status->Set(TF_INVALID_ARGUMENT,
                  Format("tfstream: pictures are made 1 to 16384 pixels high and wide (got %lld x %lld)",
                         (long long)sides[0], (long long)sides[1]));
      return;
    }
    height = static_cast<int>(sides[0]);
    width = static_cast<int>(sides[1]);
    antialias = antialias_name[0] == 'n'   ? Antialias::kNever
                : antialias_name[1] == 'u' ? Antialias::kAuto
                                           : Antialias::kAlways;
    normalization.standardize = standardize != 0;
  }
};

// The part of a picture that a sample shows, as the inputs say it, checked.
struct Request {
  int height = 0, width = 0;  // of the displayed picture
  Window window{};
  bool flip = false;
  int orientation = 1;

  // Inputs `first` to `first` + 4: height, width, window, flip, orientation.
  void Read(TF_OpKernelContext* context, int first, Status* status) {
    Tensor inputs[5];
    for (int i = 0; i < 5; ++i) {
      inputs[i] = Tensor::Input(context, first + i, status);
      if (!status->ok()) return;
      const bool is_window = i == 2;
      if (inputs[i].rank() != (is_window ? 1 : 0) || (is_window && inputs[i].size() != 4)) {
        status->Set(TF_INVALID_ARGUMENT,
                    "tfstream: height, width, flip and orientation must be scalars, and the "
                    "window four numbers: top, left, height, width");
        return;
      }
    }
    height = *inputs[0].data<int32_t>();
    width = *inputs[1].data<int32_t>();
    const float* w = inputs[2].data<float>();
    window = {w[0], w[1], w[2], w[3]};
    flip = *inputs[3].data<bool>();
    orientation = *inputs[4].data<int32_t>();
    for (int i = 0; i < 4; ++i) {
      // Written so that NaN is refused as well.
      if (std::fabs(w[i]) <= kLongestSide && (i < 2 || w[i] > 0)) continue;
      status->Set(TF_INVALID_ARGUMENT,
                  Format("tfstream: no window of a picture lies at top %g, left %g with height %g "
                         "and width %g: the sizes must be positive, and all of them finite and "
                         "at most 2^20 pixels",
                         w[0], w[1], w[2], w[3]));
      return;
    }
    if (orientation < 1 || orientation > 8)
      status->Set(TF_INVALID_ARGUMENT,
                  Format("tfstream: Exif orientations are 1 to 8 (got %d)", orientation));
  }

  // Checks the record's word against the picture's own size, as stored.
  void CheckSize(int64_t stored_height, int64_t stored_width, Status* status) const {
    const bool turned = orientation >= 5;
    if (stored_height < 1 || stored_width < 1 || stored_height > kLongestSide ||
        stored_width > kLongestSide) {
      status->Set(TF_INVALID_ARGUMENT,
                  Format("tfstream: no picture is %lld pixels high and %lld wide",
                         (long long)stored_height, (long long)stored_width));
    } else if ((turned ? width : height) != stored_height ||
               (turned ? height : width) != stored_width) {
      status->Set(TF_INVALID_ARGUMENT,
                  Format("tfstream: the record says that its image is displayed %d pixels high and "
                         "%d wide (orientation %d), but what is stored is %lld high and %lld wide",
                         height, width, orientation, (long long)stored_height,
                         (long long)stored_width));
    }
  }
};

// Writes output 0: what the request shows of the picture.
void Write(TF_OpKernelContext* context, const Rendering& rendering, const Picture& picture,
           const Window& stored, Symmetry symmetry, bool averaged, Status* status) {
  const int height = rendering.height, width = rendering.width;
  const bool bytes = rendering.type == TF_UINT8;
  const Tensor out = Tensor::Output(context, 0, rendering.type, {height, width, 3},
                                    bytes ? 1 : sizeof(float), status);
  if (!status->ok()) return;
  if (bytes)
    Resample(picture, stored, symmetry, averaged, rendering.normalization, height, width,
             out.data<uint8_t>());
  else
    Resample(picture, stored, symmetry, averaged, rendering.normalization, height, width,
             out.data<float>());
}

class ResampleKernel {
 public:
  ResampleKernel(TF_OpKernelConstruction* construction, Status* status) {
    rendering_.Read(construction, status);
  }

  void Compute(TF_OpKernelContext* context, Status* status) const {
    const Tensor image = Tensor::Input(context, 0, status);
    if (!status->ok()) return;
    if (image.rank() != 3 || image.dim(2) != 3) {
      status->Set(TF_INVALID_ARGUMENT,
                  Format("tfstream: a picture must be [height, width, 3] (got rank %d%s)",
                         image.rank(), image.rank() == 3 ? ", other than 3 channels" : ""));
      return;
    }
    Request request;
    request.Read(context, 1, status);
    if (!status->ok()) return;
    request.CheckSize(image.dim(0), image.dim(1), status);
    if (!status->ok()) return;
    const int h = static_cast<int>(image.dim(0)), w = static_cast<int>(image.dim(1));
    try {
      Write(context, rendering_, {image.data<uint8_t>(), int64_t{w} * 3, h, w},
            StoredWindow(request.window, request.orientation, h, w),
            SymmetryOf(request.orientation, request.flip),
            Averaged(rendering_.antialias, request.window, rendering_.height, rendering_.width),
            status);
    } catch (const std::bad_alloc&) {
      status->Set(TF_RESOURCE_EXHAUSTED, "tfstream: out of memory while resampling a picture");
    }
  }

 private:
  Rendering rendering_;
};

}  // namespace

void RegisterResample() {
  // height, width: of the displayed picture, in pixels; a check on the record.
  // window: top, left, height, width in pixels of the displayed picture.
  // orientation: Exif's, 1 to 8; flip: mirror what the window shows.
  RegisterOp("TfstreamResample",
             {"image: uint8", "height: int32", "width: int32", "window: float", "flip: bool",
              "orientation: int32"},
             {"resampled: T"},
             {"out_height: int", "out_width: int", "antialias: {'never', 'auto', 'always'} = 'auto'",
              "scale: list(float) = [1.0, 1.0, 1.0]", "offset: list(float) = [0.0, 0.0, 0.0]",
              "standardize: bool = false", "T: {uint8, float} = DT_UINT8"},
             /*stateful=*/false, [](TF_ShapeInferenceContext* context, TF_Status* status) {
               TF_ShapeInferenceContextSetUnknownShape(context, status);
             });
  RegisterKernel<ResampleKernel>("TfstreamResample");
}

}  // namespace tfstream
