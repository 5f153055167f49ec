// A library in the place of libcudnn_graph.so: attention of float16 and bfloat16, summed in float64
// and rounded once. What cuDNN refuses is refused: objects that are not finalized or lack an
// attribute, attributes of another type, kernels for heads of more than 128.
#include "cuda/cudnn.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>

#include "core/dtype.h"
#include "machine.h"

namespace internvl::cuda {

struct CudnnContext {
  cudaStream_t stream = nullptr;
};

}  // namespace internvl::cuda

namespace {

using namespace internvl::cuda;
using internvl::DType;

constexpr CudnnStatus kNotInitialized = 1001;
constexpr CudnnStatus kBadParameter = 2000;
constexpr CudnnStatus kNotSupported = 3000;
constexpr std::int64_t kWorkspaceBytes = 64;
constexpr std::int64_t kMostColumns = 128;  // of a head

struct Settings {
  std::size_t version = kOldestCudnn;
  std::size_t cuda_version = CUDART_VERSION;
  float milliseconds = 1.0f;  // of an attention: as long as a kernel takes
  std::size_t executions = 0;
  std::size_t plans = 0;
};

Settings& settings() {
  static Settings instance;
  return instance;
}

struct Value {
  CudnnType type;
  std::int64_t count;
  std::vector<std::byte> bytes;
};

struct Object {
  CudnnKind kind;
  bool finalized = false;
  std::map<CudnnAttribute, Value> values;
  const Object* graph = nullptr;  // of an engine config
  bool works = false;             // an engine config of which a plan can be made

  template <class T>
  const T* find(CudnnAttribute attribute) const {
    const auto found = values.find(attribute);
    return found == values.end() ? nullptr : reinterpret_cast<const T*>(found->second.bytes.data());
  }
  template <class T = std::int64_t>
  T at(CudnnAttribute attribute) const {
    return *find<T>(attribute);
  }
  const Object& object(CudnnAttribute attribute) const {
    return *static_cast<const Object*>(at<CudnnObject>(attribute));
  }
};

Object* object_of(CudnnObject handle) { return static_cast<Object*>(handle); }

/// What an attribute has to be.
struct Rule {
  CudnnKind of;
  CudnnType type;
  std::int64_t count;
  std::size_t bytes;  // of an element
  bool required;
};

const std::map<CudnnAttribute, Rule>& rules() {
  using A = CudnnAttribute;
  using K = CudnnKind;
  using T = CudnnType;
  static const std::map<A, Rule> instance{
      {A::kHeuristicsMode, {K::kHeuristics, T::kHeuristicMode, 1, 4, true}},
      {A::kHeuristicsGraph, {K::kHeuristics, T::kObject, 1, 8, true}},
      {A::kPlanHandle, {K::kPlan, T::kHandle, 1, 8, true}},
      {A::kPlanEngineConfig, {K::kPlan, T::kObject, 1, 8, true}},
      {A::kGraphHandle, {K::kGraph, T::kHandle, 1, 8, true}},
      {A::kGraphOperations, {K::kGraph, T::kObject, 1, 8, true}},
      {A::kTensorAlignment, {K::kTensor, T::kInt64, 1, 8, true}},
      {A::kTensorType, {K::kTensor, T::kDataType, 1, 4, true}},
      {A::kTensorDimensions, {K::kTensor, T::kInt64, 4, 8, true}},
      {A::kTensorStrides, {K::kTensor, T::kInt64, 4, 8, true}},
      {A::kTensorId, {K::kTensor, T::kInt64, 1, 8, true}},
      {A::kTensorIsByValue, {K::kTensor, T::kBoolean, 1, 1, false}},
      {A::kPackIds, {K::kVariantPack, T::kInt64, 5, 8, true}},
      {A::kPackPointers, {K::kVariantPack, T::kPointer, 5, 8, true}},
      {A::kPackWorkspace, {K::kVariantPack, T::kPointer, 1, 8, true}},
      {A::kAttentionQ, {K::kAttention, T::kObject, 1, 8, true}},
      {A::kAttentionK, {K::kAttention, T::kObject, 1, 8, true}},
      {A::kAttentionV, {K::kAttention, T::kObject, 1, 8, true}},
      {A::kAttentionOut, {K::kAttention, T::kObject, 1, 8, true}},
      {A::kAttentionScale, {K::kAttention, T::kObject, 1, 8, true}},
  };
  return instance;
}

using Extents = std::array<std::int64_t, 4>;

DType dtype_of(const Object& tensor) {
  const auto type = tensor.at<CudnnDataType>(CudnnAttribute::kTensorType);
  return type == CudnnDataType::kFloat16    ? DType::kFloat16
         : type == CudnnDataType::kBFloat16 ? DType::kBFloat16
                                            : DType::kFloat32;
}

/// A tensor's numbers, at the address that a variant pack has for it.
struct Operand {
  Operand(const Object& tensor, void* data)
      : data(data),
        dtype(dtype_of(tensor)),
        dimensions(tensor.at<Extents>(CudnnAttribute::kTensorDimensions)),
        strides(tensor.at<Extents>(CudnnAttribute::kTensorStrides)),
        alignment(tensor.at(CudnnAttribute::kTensorAlignment)) {}

  std::int64_t offset(const Extents& index) const {
    return index[0] * strides[0] + index[1] * strides[1] + index[2] * strides[2] +
           index[3] * strides[3];
  }
  double at(const Extents& index) const {
    return internvl::load_as_float(data, dtype, offset(index));
  }
  void store(const Extents& index, double value) const {
    internvl::store_from_float(data, dtype, offset(index), static_cast<float>(value));
  }
  bool is_aligned() const {
    return reinterpret_cast<std::uintptr_t>(data) % static_cast<std::uintptr_t>(alignment) == 0;
  }

  void* data;
  DType dtype;
  Extents dimensions, strides;
  std::int64_t alignment;
};

struct Attention {
  Operand q, k, v, out;
  float scale;

  void compute() const {
    const auto [sequences, heads, rows, columns] = q.dimensions;
    for (std::int64_t b = 0; b < sequences; ++b)
      for (std::int64_t h = 0; h < heads; ++h)
        for (std::int64_t r = 0; r < rows; ++r) compute_row(b, h, r, columns);
  }

  void compute_row(std::int64_t b, std::int64_t h, std::int64_t r, std::int64_t columns) const {
    const std::int64_t keys = k.dimensions[2];
    std::vector<double> weights(static_cast<std::size_t>(keys));
    for (std::int64_t key = 0; key < keys; ++key) {
      double score = 0.0;
      for (std::int64_t c = 0; c < columns; ++c) score += q.at({b, h, r, c}) * k.at({b, h, key, c});
      weights[key] = score * scale;
    }
    const double largest = *std::max_element(weights.begin(), weights.end());
    double total = 0.0;
    for (double& weight : weights) total += weight = std::exp(weight - largest);
    for (std::int64_t c = 0; c < columns; ++c) {
      double sum = 0.0;
      for (std::int64_t key = 0; key < keys; ++key) sum += weights[key] * v.at({b, h, key, c});
      out.store({b, h, r, c}, sum / total);
    }
  }
};

bool fits(const Object& attention) {
  const Object& q = attention.object(CudnnAttribute::kAttentionQ);
  const auto dimensions = q.at<Extents>(CudnnAttribute::kTensorDimensions);
  const auto type = q.at<CudnnDataType>(CudnnAttribute::kTensorType);
  for (CudnnAttribute name :
       {CudnnAttribute::kAttentionK, CudnnAttribute::kAttentionV, CudnnAttribute::kAttentionOut}) {
    const Object& other = attention.object(name);
    if (other.at<Extents>(CudnnAttribute::kTensorDimensions) != dimensions ||
        other.at<CudnnDataType>(CudnnAttribute::kTensorType) != type)
      return false;
  }
  const Object& scale = attention.object(CudnnAttribute::kAttentionScale);
  return type != CudnnDataType::kFloat32 && dimensions[3] % 8 == 0 &&
         scale.at<CudnnDataType>(CudnnAttribute::kTensorType) == CudnnDataType::kFloat32 &&
         scale.at<Extents>(CudnnAttribute::kTensorDimensions) == Extents{1, 1, 1, 1} &&
         scale.find<bool>(CudnnAttribute::kTensorIsByValue) != nullptr;
}

/// Whether all objects that this one refers to are finalized.
bool is_complete(const Object& object) {
  for (const auto& [name, rule] : rules())
    if (rule.of == object.kind && rule.required && object.values.count(name) == 0) return false;
  for (const auto& [name, value] : object.values) {
    if (value.type == CudnnType::kObject &&
        !static_cast<const Object*>(object.at<CudnnObject>(name))->finalized)
      return false;
  }
  return true;
}

const Object& attention_of(const Object& graph) {
  return graph.object(CudnnAttribute::kGraphOperations);
}

}  // namespace

extern "C" {

std::size_t cudnnGetVersion() { return settings().version; }

std::size_t cudnnGetCudartVersion() { return settings().cuda_version; }

const char* cudnnGetErrorString(CudnnStatus status) {
  switch (status) {
    case kCudnnSuccess: return "CUDNN_STATUS_SUCCESS";
    case kNotInitialized: return "CUDNN_STATUS_NOT_INITIALIZED";
    case kBadParameter: return "CUDNN_STATUS_BAD_PARAM";
    case kNotSupported: return "CUDNN_STATUS_NOT_SUPPORTED";
  }
  return "?";
}

CudnnStatus cudnnCreate(CudnnHandle* handle) {
  *handle = new CudnnContext();
  return kCudnnSuccess;
}

CudnnStatus cudnnDestroy(CudnnHandle handle) {
  delete handle;
  return kCudnnSuccess;
}

CudnnStatus cudnnSetStream(CudnnHandle handle, cudaStream_t stream) {
  handle->stream = stream;
  return kCudnnSuccess;
}

CudnnStatus cudnnBackendCreateDescriptor(CudnnKind kind, CudnnObject* object) {
  auto made = std::make_unique<Object>();
  made->kind = kind;
  *object = made.release();
  return kCudnnSuccess;
}

CudnnStatus cudnnBackendDestroyDescriptor(CudnnObject object) {
  delete object_of(object);
  return kCudnnSuccess;
}

CudnnStatus cudnnBackendSetAttribute(CudnnObject object, CudnnAttribute attribute, CudnnType type,
                                     std::int64_t count, const void* values) {
  const auto rule = rules().find(attribute);
  if (object_of(object)->finalized || rule == rules().end() ||
      rule->second.of != object_of(object)->kind || rule->second.type != type ||
      rule->second.count != count)
    return kBadParameter;
  const auto* first = static_cast<const std::byte*>(values);
  const std::size_t bytes = static_cast<std::size_t>(count) * rule->second.bytes;
  object_of(object)->values[attribute] = {type, count, {first, first + bytes}};
  return kCudnnSuccess;
}

CudnnStatus cudnnBackendFinalize(CudnnObject handle) {
  Object& object = *object_of(handle);
  if (object.finalized || !is_complete(object)) return kBadParameter;
  if (object.kind == CudnnKind::kAttention && !fits(object)) return kNotSupported;
  if (object.kind == CudnnKind::kPlan) {
    const Object& config = object.object(CudnnAttribute::kPlanEngineConfig);
    if (!config.works) return kNotSupported;
    ++settings().plans;
  }
  object.finalized = true;
  return kCudnnSuccess;
}

/// Two proposals, of which the second one works where any does.
CudnnStatus cudnnBackendGetAttribute(CudnnObject handle, CudnnAttribute attribute, CudnnType type,
                                     std::int64_t asked, std::int64_t* count, void* values) {
  const Object& object = *object_of(handle);
  if (!object.finalized) return kNotInitialized;
  if (attribute == CudnnAttribute::kPlanWorkspaceSize && type == CudnnType::kInt64 && asked == 1) {
    std::memcpy(values, &kWorkspaceBytes, sizeof kWorkspaceBytes);
    return kCudnnSuccess;
  }
  if (attribute != CudnnAttribute::kHeuristicsResults || type != CudnnType::kObject || asked < 2)
    return kBadParameter;
  const Object& graph = object.object(CudnnAttribute::kHeuristicsGraph);
  const Object& q = attention_of(graph).object(CudnnAttribute::kAttentionQ);
  const bool is_known = q.at<Extents>(CudnnAttribute::kTensorDimensions)[3] <= kMostColumns;
  auto* const* configs = static_cast<CudnnObject*>(values);
  for (int i = 0; i < 2; ++i) {
    Object& config = *object_of(configs[i]);
    if (config.kind != CudnnKind::kEngineConfig) return kBadParameter;
    config.finalized = true;
    config.graph = &graph;
    config.works = is_known && i == 1;
  }
  *count = 2;
  return kCudnnSuccess;
}

CudnnStatus cudnnBackendExecute(CudnnHandle handle, CudnnObject plan, CudnnObject pack) {
  if (!object_of(plan)->finalized || !object_of(pack)->finalized) return kNotInitialized;
  const Object& config = object_of(plan)->object(CudnnAttribute::kPlanEngineConfig);
  const Object& attention = attention_of(*config.graph);
  const auto* ids = object_of(pack)->find<std::int64_t>(CudnnAttribute::kPackIds);
  auto* const* pointers = object_of(pack)->find<void*>(CudnnAttribute::kPackPointers);
  const auto operand = [&](CudnnAttribute name) {
    const Object& tensor = attention.object(name);
    const auto* id = std::find(ids, ids + 5, tensor.at(CudnnAttribute::kTensorId));
    return Operand{tensor, id == ids + 5 ? nullptr : pointers[id - ids]};
  };
  const Operand scale = operand(CudnnAttribute::kAttentionScale);
  const Attention work{operand(CudnnAttribute::kAttentionQ), operand(CudnnAttribute::kAttentionK),
                       operand(CudnnAttribute::kAttentionV), operand(CudnnAttribute::kAttentionOut),
                       scale.data == nullptr ? 0.0f : *static_cast<const float*>(scale.data)};
  auto* workspace = object_of(pack)->at<std::byte*>(CudnnAttribute::kPackWorkspace);
  for (const Operand* one : {&work.q, &work.k, &work.v, &work.out})
    if (one->data == nullptr || !one->is_aligned()) return kBadParameter;
  if (scale.data == nullptr || workspace == nullptr) return kBadParameter;
  ++settings().executions;
  // A graph that is recorded keeps what the plan has, as cuDNN 9.28 sees to it.
  const auto run = [work, workspace] {
    std::memset(workspace, 0, kWorkspaceBytes);
    work.compute();
  };
  handle->stream->queue(run, settings().milliseconds);
  return kCudnnSuccess;
}

// ---- for ctypes

void standin_set_cudnn(std::size_t version, std::size_t cuda_version) {
  settings().version = version;
  settings().cuda_version = cuda_version;
}
void standin_set_cudnn_milliseconds(float milliseconds) { settings().milliseconds = milliseconds; }
std::size_t standin_cudnn_executions() { return settings().executions; }
std::size_t standin_cudnn_plans() { return settings().plans; }
}
