// What every kernel needs around TensorFlow's C API: statuses, tensors that
// free themselves, strings read and written in place, registration.
#pragma once

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "tf_c_api.h"

namespace tfstream {

// printf into a std::string: error messages are built with it.
__attribute__((format(printf, 1, 2))) inline std::string Format(
    const char* format, ...) {
  va_list args;
  va_start(args, format);
  va_list again;
  va_copy(again, args);
  const int n = vsnprintf(nullptr, 0, format, args);
  va_end(args);
  std::string out(n > 0 ? n : 0, '\0');
  if (n > 0) vsnprintf(&out[0], out.size() + 1, format, again);
  va_end(again);
  return out;
}

class Status {
 public:
  Status() : status_(TF_NewStatus()) {}
  ~Status() { TF_DeleteStatus(status_); }
  Status(const Status&) = delete;
  Status& operator=(const Status&) = delete;

  TF_Status* get() const { return status_; }
  bool ok() const { return TF_GetCode(status_) == TF_OK; }
  void Set(TF_Code code, const std::string& message) {
    TF_SetStatus(status_, code, message.c_str());
  }

 private:
  TF_Status* status_;
};

// An input or output tensor of a running kernel.
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(TF_Tensor* tensor) : tensor_(tensor) {}
  Tensor(Tensor&& other) noexcept : tensor_(std::exchange(other.tensor_, nullptr)) {}
  Tensor& operator=(Tensor&& other) noexcept {
    std::swap(tensor_, other.tensor_);
    return *this;
  }
  ~Tensor() {
    if (tensor_ != nullptr) TF_DeleteTensor(tensor_);
  }

  static Tensor Input(TF_OpKernelContext* context, int index, Status* status) {
    TF_Tensor* tensor = nullptr;
    TF_GetInput(context, index, &tensor, status->get());
    return Tensor(tensor);
  }
  static Tensor Output(TF_OpKernelContext* context, int index, TF_DataType type,
                       std::initializer_list<int64_t> dims, size_t element_bytes,
                       Status* status) {
    int64_t count = 1;
    for (int64_t dim : dims) count *= dim;
    return Tensor(TF_AllocateOutput(context, index, type, dims.begin(),
                                    static_cast<int>(dims.size()),
                                    count * element_bytes, status->get()));
  }

  TF_Tensor* get() const { return tensor_; }
  int rank() const { return TF_NumDims(tensor_); }
  int64_t dim(int axis) const { return TF_Dim(tensor_, axis); }
  int64_t size() const { return TF_TensorElementCount(tensor_); }
  template <typename T>
  T* data() const {
    return static_cast<T*>(TF_TensorData(tensor_));
  }

 private:
  TF_Tensor* tensor_ = nullptr;
};

// A string element of a tensor, in the memory layout that
// tensorflow/c/tf_tstring.h fixes: 24 bytes, the two lowest bits of the first
// byte say which form it has. Little-endian machines only.
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "tensor strings are laid out for little-endian machines");
class StringElement {
 public:
  static constexpr size_t kBytes = 24;
  static constexpr size_t kSmallCapacity = 22;

  static std::string Read(const void* element) {
    const auto* raw = static_cast<const uint8_t*>(element);
    uint64_t size;
    const char* data;
    switch (raw[0] & 3) {
      case 0:  // small: the bytes follow
        return std::string(reinterpret_cast<const char*>(raw + 1), raw[0] >> 2);
      case 2: {  // offset: the bytes are at a distance from the element
        uint32_t size32, offset;
        memcpy(&size32, raw, 4);
        memcpy(&offset, raw + 4, 4);
        return std::string(reinterpret_cast<const char*>(raw + offset), size32 >> 2);
      }
      case 1:  // large: size, capacity, pointer
        memcpy(&size, raw, 8);
        memcpy(&data, raw + 16, 8);
        return std::string(data, size >> 2);
      default:  // view: size, pointer
        memcpy(&size, raw, 8);
        memcpy(&data, raw + 8, 8);
        return std::string(data, size >> 2);
    }
  }

  // Gives an element that was freshly allocated (and so is empty) room for
  // `size` bytes and returns where they go; nullptr when memory is short.
  static char* Allocate(void* element, size_t size) {
    auto* raw = static_cast<uint8_t*>(element);
    if (size <= kSmallCapacity) {
      raw[0] = static_cast<uint8_t>(size << 2);
      raw[1 + size] = 0;
      return reinterpret_cast<char*>(raw + 1);
    }
    const uint64_t capacity = ((size + 1 + 15) & ~uint64_t{15}) - 1;
    auto* data = static_cast<char*>(malloc(capacity + 1));
    if (data == nullptr) return nullptr;
    data[size] = 0;
    const uint64_t tagged = (static_cast<uint64_t>(size) << 2) | 1;
    memcpy(raw, &tagged, 8);
    memcpy(raw + 8, &capacity, 8);
    memcpy(raw + 16, &data, 8);
    return data;
  }

  // Empties an element that Allocate filled, or nobody has.
  static void Clear(void* element) {
    auto* raw = static_cast<uint8_t*>(element);
    if ((raw[0] & 3) == 1) {
      char* data;
      memcpy(&data, raw + 16, 8);
      free(data);
    }
    memset(raw, 0, kBytes);
  }
};

// Registers a kernel without state beyond `Kernel`, which is constructed from
// TF_OpKernelConstruction* and has Compute(TF_OpKernelContext*, Status*).
template <typename Kernel>
void RegisterKernel(const char* op_name) {
  auto* builder = TF_NewKernelBuilder(
      op_name, "CPU",
      [](TF_OpKernelConstruction* construction) -> void* {
        Status status;
        auto* kernel = new Kernel(construction, &status);
        if (!status.ok()) TF_OpKernelConstruction_Failure(construction, status.get());
        return kernel;
      },
      [](void* kernel, TF_OpKernelContext* context) {
        Status status;
        static_cast<Kernel*>(kernel)->Compute(context, &status);
        if (!status.ok()) TF_OpKernelContext_Failure(context, status.get());
      },
      [](void* kernel) { delete static_cast<Kernel*>(kernel); });
  Status status;
  TF_RegisterKernelBuilder(op_name, builder, status.get());
  if (!status.ok()) fprintf(stderr, "tfstream: %s\n", TF_Message(status.get()));
}

// Registers an op from its inputs, outputs and attributes, each in the
// notation of TensorFlow's op registry.
inline void RegisterOp(const char* name, std::initializer_list<const char*> inputs,
                       std::initializer_list<const char*> outputs,
                       std::initializer_list<const char*> attributes, bool stateful,
                       void (*shapes)(TF_ShapeInferenceContext*, TF_Status*)) {
  auto* op = TF_NewOpDefinitionBuilder(name);
  for (const char* spec : attributes) TF_OpDefinitionBuilderAddAttr(op, spec);
  for (const char* spec : inputs) TF_OpDefinitionBuilderAddInput(op, spec);
  for (const char* spec : outputs) TF_OpDefinitionBuilderAddOutput(op, spec);
  TF_OpDefinitionBuilderSetIsStateful(op, stateful);
  TF_OpDefinitionBuilderSetShapeInferenceFunction(op, shapes);
  Status status;
  TF_RegisterOpDefinition(op, status.get());
  if (!status.ok()) fprintf(stderr, "tfstream: %s\n", TF_Message(status.get()));
}

// Each kernel's file defines one of these; module.cc calls them all.
void RegisterReadRecords();
void RegisterFetchRecords();
void RegisterEpochOrder();
void RegisterBeginIteration();
void RegisterCountWaiting();
void RegisterResample();

}  // namespace tfstream
