#include "cuda/cudnn_attention.h"

#include "core/error.h"

namespace internvl::cuda {
namespace {

constexpr std::int64_t kAlignment = 16;  // of what cuDNN's kernels load

/// The tensors of the graph, by their identifiers.
enum Id : std::int64_t { kQ = 1, kK, kV, kOut, kScale };

/// Heads of tokens, in cuDNN's order.
constexpr std::int64_t kDimensions = 4;

CudnnDataType type_of(DType dtype) {
  return dtype == DType::kFloat16 ? CudnnDataType::kFloat16 : CudnnDataType::kBFloat16;
}

bool is_aligned(const Tensor& rows, std::int64_t head_dim) {
  const auto size = static_cast<std::int64_t>(size_of(rows.dtype));
  return reinterpret_cast<std::uintptr_t>(rows.data) % kAlignment == 0 &&
         rows.stride * size % kAlignment == 0 && head_dim * size % kAlignment == 0;
}

/// An object of cuDNN's: attributes are set, then it is finalized.
class Object {
 public:
  Object(const Cudnn& cudnn, CudnnKind kind) : cudnn_(cudnn) {
    cudnn_.check(cudnn_.create_object(kind, &object_), "cudnnBackendCreateDescriptor");
  }
  ~Object() { cudnn_.destroy_object(object_); }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  CudnnObject get() const { return object_; }

  template <class T>
  Object& set(CudnnAttribute attribute, CudnnType type, const T* values, std::int64_t count) {
    cudnn_.check(cudnn_.set_attribute(object_, attribute, type, count, values),
                 "cudnnBackendSetAttribute");
    return *this;
  }
  template <class T>
  Object& set(CudnnAttribute attribute, CudnnType type, const T& value) {
    return set(attribute, type, &value, 1);
  }
  Object& set(CudnnAttribute attribute, const Object& value) {
    return set(attribute, CudnnType::kObject, value.object_);
  }
  void finalize() { cudnn_.check(cudnn_.finalize(object_), "cudnnBackendFinalize"); }

 private:
  const Cudnn& cudnn_;
  CudnnObject object_ = nullptr;
};

}  // namespace

/// A graph of one operation and the kernel that cuDNN has for it. The objects stay: cuDNN does not
/// say which of them a plan goes on reading.
struct CudnnAttention::Plan {
  Plan(const Cudnn& functions, CudnnHandle handle, const Shape& shape)
      : cudnn(functions),
        q(cudnn, CudnnKind::kTensor),
        k(cudnn, CudnnKind::kTensor),
        v(cudnn, CudnnKind::kTensor),
        out(cudnn, CudnnKind::kTensor),
        scale(cudnn, CudnnKind::kTensor),
        attention(cudnn, CudnnKind::kAttention),
        graph(cudnn, CudnnKind::kGraph),
        heuristics(cudnn, CudnnKind::kHeuristics) {
    describe(q, kQ, shape, shape.qkv_stride);
    describe(k, kK, shape, shape.qkv_stride);
    describe(v, kV, shape, shape.qkv_stride);
    describe(out, kOut, shape, shape.out_stride);
    describe_scale();
    attention.set(CudnnAttribute::kAttentionQ, q)
        .set(CudnnAttribute::kAttentionK, k)
        .set(CudnnAttribute::kAttentionV, v)
        .set(CudnnAttribute::kAttentionOut, out)
        .set(CudnnAttribute::kAttentionScale, scale)
        .finalize();
    graph.set(CudnnAttribute::kGraphHandle, CudnnType::kHandle, handle)
        .set(CudnnAttribute::kGraphOperations, attention)
        .finalize();
    heuristics.set(CudnnAttribute::kHeuristicsGraph, graph)
        .set(CudnnAttribute::kHeuristicsMode, CudnnType::kHeuristicMode, CudnnHeuristicMode::kA)
        .finalize();
    choose(handle);
  }

  static void describe(Object& tensor, Id id, const Shape& shape, std::int64_t stride) {
    const std::int64_t dimensions[] = {shape.sequences, shape.heads, shape.tokens, shape.head_dim};
    const std::int64_t strides[] = {shape.tokens * stride, shape.head_dim, stride, 1};
    tensor.set(CudnnAttribute::kTensorType, CudnnType::kDataType, type_of(shape.dtype))
        .set(CudnnAttribute::kTensorDimensions, CudnnType::kInt64, dimensions, kDimensions)
        .set(CudnnAttribute::kTensorStrides, CudnnType::kInt64, strides, kDimensions)
        .set(CudnnAttribute::kTensorId, CudnnType::kInt64, id)
        .set(CudnnAttribute::kTensorAlignment, CudnnType::kInt64, kAlignment)
        .finalize();
  }

  /// A number of the host's.
  void describe_scale() {
    const std::int64_t ones[] = {1, 1, 1, 1};
    scale.set(CudnnAttribute::kTensorType, CudnnType::kDataType, CudnnDataType::kFloat32)
        .set(CudnnAttribute::kTensorDimensions, CudnnType::kInt64, ones, kDimensions)
        .set(CudnnAttribute::kTensorStrides, CudnnType::kInt64, ones, kDimensions)
        .set(CudnnAttribute::kTensorId, CudnnType::kInt64, kScale)
        .set(CudnnAttribute::kTensorAlignment, CudnnType::kInt64, kAlignment)
        .set(CudnnAttribute::kTensorIsByValue, CudnnType::kBoolean, true)
        .finalize();
  }

  /// The first of cuDNN's proposals, best first, that it can make for this GPU.
  void choose(CudnnHandle handle) {
    constexpr std::int64_t kProposals = 16;
    CudnnObject proposed[kProposals];
    for (CudnnObject& config : proposed) {
      configs.push_back(std::make_unique<Object>(cudnn, CudnnKind::kEngineConfig));
      config = configs.back()->get();
    }
    std::int64_t count = 0;
    cudnn.check(cudnn.get_attribute(heuristics.get(), CudnnAttribute::kHeuristicsResults,
                                    CudnnType::kObject, kProposals, &count, proposed),
                "cudnnBackendGetAttribute");
    for (std::int64_t i = 0; i < count; ++i) {
      auto made = std::make_unique<Object>(cudnn, CudnnKind::kPlan);
      made->set(CudnnAttribute::kPlanHandle, CudnnType::kHandle, handle)
          .set(CudnnAttribute::kPlanEngineConfig, *configs[i]);
      if (cudnn.finalize(made->get()) != kCudnnSuccess) continue;
      cudnn.check(cudnn.get_attribute(made->get(), CudnnAttribute::kPlanWorkspaceSize,
                                      CudnnType::kInt64, 1, nullptr, &workspace_bytes),
                  "cudnnBackendGetAttribute");
      plan = std::move(made);
      return;
    }
    throw DeviceError(message("cuDNN has no kernel for this attention: ", count, " proposals"));
  }

  const Cudnn& cudnn;
  Object q, k, v, out, scale, attention, graph, heuristics;
  std::vector<std::unique_ptr<Object>> configs;
  std::unique_ptr<Object> plan;
  std::int64_t workspace_bytes = 0;
};

CudnnAttention::CudnnAttention(std::shared_ptr<Device> device,
                               const std::vector<std::string>& folders)
    : device_(std::move(device)), cudnn_(folders) {
  const UseDevice use(device_->context());
  cudnn_.check(cudnn_.create(&handle_), "cudnnCreate");
}

CudnnAttention::~CudnnAttention() {
  give_back(device_->context(), [this] {
    device_->synchronize();
    plans_.clear();
    cudnn_.destroy(handle_);
  });
}

bool CudnnAttention::accepts(Tensor out, Tensor qkv, std::int64_t head_dim) {
  return qkv.dtype != DType::kFloat32 && is_aligned(out, head_dim) && is_aligned(qkv, head_dim);
}

const CudnnAttention::Plan& CudnnAttention::plan(const Shape& shape) {
  const auto found = plans_.find(shape);
  if (found != plans_.end()) return *found->second;
  return *plans_.emplace(shape, std::make_unique<Plan>(cudnn_, handle_, shape)).first->second;
}

void CudnnAttention::operator()(Tensor out, Tensor qkv, std::int64_t tokens, std::int64_t heads,
                                float scale) {
  check(heads >= 1 && qkv.cols % (3 * heads) == 0 && tokens >= 1 && qkv.rows % tokens == 0,
        "attention: qkv: expected a multiple of ", tokens, " rows and of ", 3 * heads,
        " columns, got (", qkv.rows, ", ", qkv.cols, ")");
  const std::int64_t width = qkv.cols / 3;
  check(out.dtype == qkv.dtype && out.rows == qkv.rows && out.cols == width,
        "attention: out: expected ", name_of(qkv.dtype), " of shape (", qkv.rows, ", ", width,
        "), got ", name_of(out.dtype), " (", out.rows, ", ", out.cols, ")");
  if (qkv.rows == 0) return;
  const Shape shape{qkv.dtype,     qkv.rows / tokens, heads,     tokens,
                    width / heads, out.stride,        qkv.stride};
  check<DeviceError>(
      accepts(out, qkv, shape.head_dim),
      "cuDNN's attention is for float16 and bfloat16, rows and heads at multiples of "
      "16 bytes; got ",
      name_of(qkv.dtype), ", heads of ", shape.head_dim);

  const UseDevice use(device_->context());
  const std::lock_guard<std::mutex> lock(mutex_);
  const Plan& chosen = plan(shape);
  const Buffer workspace = device_->allocate(static_cast<std::size_t>(chosen.workspace_bytes));
  const std::int64_t ids[] = {kQ, kK, kV, kOut, kScale};
  const void* const pointers[] = {qkv.data, qkv.slice_cols(width, width).data,
                                  qkv.slice_cols(2 * width, width).data, out.data, &scale};
  Object pack(cudnn_, CudnnKind::kVariantPack);
  pack.set(CudnnAttribute::kPackPointers, CudnnType::kPointer, pointers, std::size(pointers))
      .set(CudnnAttribute::kPackIds, CudnnType::kInt64, ids, std::size(ids))
      .set(CudnnAttribute::kPackWorkspace, CudnnType::kPointer, workspace.data())
      .finalize();
  cudnn_.check(cudnn_.set_stream(handle_, device_->stream()), "cudnnSetStream");
  cudnn_.check(cudnn_.execute(handle_, chosen.plan->get(), pack.get()), "cudnnBackendExecute");
}

}  // namespace internvl::cuda
