#include "bind/dlpack.h"

#include <pybind11/stl.h>

#include <cstddef>

#include "bind/bind.h"
#include "core/error.h"

namespace py = pybind11;

namespace internvl::bind {

// DLManagedTensor of dlpack.h, with what it consists of: the layout is the protocol.
struct ManagedTensor {
  void* data;
  std::int32_t device_type;
  std::int32_t device_index;
  std::int32_t dimensions;
  std::uint8_t type_code;
  std::uint8_t type_bits;
  std::uint16_t type_lanes;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements; null: contiguous
  std::uint64_t byte_offset;
  void* context;
  void (*deleter)(ManagedTensor*);
};
static_assert(offsetof(ManagedTensor, deleter) == 56);

namespace {

constexpr const char* kFresh = "dltensor";
constexpr const char* kTaken = "used_dltensor";
constexpr std::int32_t kHost = 1;
constexpr std::int32_t kCuda = 2;
constexpr std::uint8_t kFloat = 2;
constexpr std::uint8_t kBfloat = 4;

DType dtype_of(const ManagedTensor& tensor) {
  if (tensor.type_lanes == 1) {
    if (tensor.type_code == kFloat && tensor.type_bits == 32) return DType::kFloat32;
    if (tensor.type_code == kFloat && tensor.type_bits == 16) return DType::kFloat16;
    if (tensor.type_code == kBfloat && tensor.type_bits == 16) return DType::kBFloat16;
  }
  throw InvalidArgument(message("array: expected float32, bfloat16 or float16, got type code ",
                                int{tensor.type_code}, " of ", int{tensor.type_bits}, " bits"));
}

Place place_of(const ManagedTensor& tensor) {
  check(tensor.device_type == kHost || tensor.device_type == kCuda,
        "array: expected one in the memory of the CPU or of a GPU of NVIDIA's, got device type ",
        tensor.device_type);
  return tensor.device_type == kHost ? Place::kHost : Place::kDevice;
}

std::vector<std::int64_t> shape_of(const ManagedTensor& tensor) {
  const std::vector<std::int64_t> shape(tensor.shape, tensor.shape + tensor.dimensions);
  std::int64_t stride = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    check(tensor.strides == nullptr || shape[i] == 1 || tensor.strides[i] == stride,
          "array: expected a contiguous one");
    stride *= shape[i];
  }
  return shape;
}

ManagedTensor* tensor_in(const py::object& capsule) {
  check(PyCapsule_IsValid(capsule.ptr(), kFresh) != 0,
        "capsule: expected one of __dlpack__(), which nobody has taken yet, got ",
        py::repr(capsule).cast<std::string>());
  return static_cast<ManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), kFresh));
}

}  // namespace

// The capsule is taken last: it frees its array itself where something above throws.
LentArray::LentArray(const py::object& capsule)
    : managed_(tensor_in(capsule)),
      dtype_(dtype_of(*managed_)),
      place_(place_of(*managed_)),
      shape_(shape_of(*managed_)) {
  PyCapsule_SetName(capsule.ptr(), kTaken);
}

LentArray::~LentArray() {
  if (managed_->deleter != nullptr) managed_->deleter(managed_);
}

void* LentArray::data() const {
  return static_cast<std::byte*>(managed_->data) + managed_->byte_offset;
}

void bind_dlpack(py::module_& module) {
  py::class_<LentArray>(module, "LentArray", "An array of another library, where it lies.")
      .def(py::init<const py::object&>(), py::arg("capsule"),
           "Of what __dlpack__(stream=...) returns, with the stream that the backend queues on.\n"
           "Raises ValueError for an array that is not contiguous or of another dtype.")
      .def_property_readonly("shape", &LentArray::shape);
}

}  // namespace internvl::bind
