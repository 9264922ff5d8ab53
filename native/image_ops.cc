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

  // Height and width of the picture as stored.
  int stored_height() const { return orientation >= 5 ? width : height; }
  int stored_width() const { return orientation >= 5 ? height : width; }
};

// The pixels that were decoded: the picture, or a block of it, at 1 / ratio.
struct Decoded {
  Picture pixels{};
  int top = 0, left = 0;
  int ratio = 1;

  // Inputs `first` and `first` + 1, origin and ratio, of `image`, input 0.
  void Read(TF_OpKernelContext* context, int first, const Tensor& image, const Request& request,
            Status* status) {
    const Tensor origin = Tensor::Input(context, first, status);
    if (!status->ok()) return;
    const Tensor ratio_input = Tensor::Input(context, first + 1, status);
    if (!status->ok()) return;
    if (image.rank() != 3 || image.dim(2) != 3 || origin.rank() != 1 || origin.size() != 2 ||
        ratio_input.rank() != 0) {
      status->Set(TF_INVALID_ARGUMENT,
                  Format("tfstream: a picture must be [height, width, 3], its origin two numbers "
                         "and its ratio one (got ranks %d, %d and %d)",
                         image.rank(), origin.rank(), ratio_input.rank()));
      return;
    }
    ratio = *ratio_input.data<int32_t>();
    top = origin.data<int32_t>()[0];
    left = origin.data<int32_t>()[1];
    if (ratio != 1 && ratio != 2 && ratio != 4 && ratio != 8) {
      status->Set(TF_INVALID_ARGUMENT,
                  Format("tfstream: pictures are decoded at 1/1, 1/2, 1/4 or 1/8 (got 1/%d)", ratio));
      return;
    }
    const int64_t h = image.dim(0), w = image.dim(1);
    const int64_t stored_h = request.stored_height(), stored_w = request.stored_width();
    const int64_t scaled_h = (stored_h + ratio - 1) / ratio;
    const int64_t scaled_w = (stored_w + ratio - 1) / ratio;
    const bool whole = top == -1 && left == -1;
    if (whole) top = left = 0;
    if (h < 1 || w < 1 || h > kLongestSide || w > kLongestSide) {
      status->Set(TF_INVALID_ARGUMENT,
                  Format("tfstream: no picture is %lld pixels high and %lld wide", (long long)h,
                         (long long)w));
    } else if (whole ? h != scaled_h || w != scaled_w
                     : top < 0 || left < 0 || top + h > scaled_h || left + w > scaled_w) {
      status->Set(TF_INVALID_ARGUMENT,
                  Format("tfstream: the record says that its image is displayed %d pixels high and "
                         "%d wide (orientation %d), so at 1/%d its pixels are %lld x %lld as "
                         "stored; but %lld x %lld were decoded%s",
                         request.height, request.width, request.orientation, ratio,
                         (long long)scaled_h, (long long)scaled_w, (long long)h, (long long)w,
                         whole ? "" : " of a block that reaches past them"));
    }
    pixels = {image.data<uint8_t>(), w * 3, static_cast<int>(h), static_cast<int>(w)};
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
    Request request;
    request.Read(context, 1, status);
    if (!status->ok()) return;
    Decoded decoded;
    decoded.Read(context, 6, image, request, status);
    if (!status->ok()) return;
    Window window = StoredWindow(request.window, request.orientation, request.stored_height(),
                                 request.stored_width());
    window = {window.top / decoded.ratio - decoded.top, window.left / decoded.ratio - decoded.left,
              window.height / decoded.ratio, window.width / decoded.ratio};
    try {
      Write(context, rendering_, decoded.pixels, window,
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
  // image: the decoded pixels, as stored.
  // height, width: of the displayed picture, in pixels.
  // window: top, left, height, width in pixels of the displayed picture.
  // orientation: Exif's, 1 to 8; flip: mirror what the window shows.
  // origin: top and left of the pixels in the whole picture as stored and decoded at
  // 1 / ratio; -1, -1: they are the whole, whose size is checked.
  RegisterOp("TfstreamResample",
             {"image: uint8", "height: int32", "width: int32", "window: float", "flip: bool",
              "orientation: int32", "origin: int32", "ratio: int32"},
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
