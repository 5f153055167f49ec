#include "cuda/matmul.h"

#include <algorithm>

#include "core/error.h"
#include "cuda/library.h"

namespace internvl::cuda {
namespace {

constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;  // NVIDIA's advice for sm_90

void check_lt(cublasStatus_t status, const char* call) {
  check<DeviceError>(status == CUBLAS_STATUS_SUCCESS, "cuBLASLt: ", call, " failed with status ",
                     static_cast<int>(status));
}

cudaDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::kFloat32: return CUDA_R_32F;
    case DType::kBFloat16: return CUDA_R_16BF;
    case DType::kFloat16: return CUDA_R_16F;
  }
  throw InternalError("matmul: unknown dtype");
}

/// Bytes that an address is a multiple of, as far as algorithms ask.
std::uint32_t alignment_of(const void* data) {
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  return address == 0
             ? 16
             : static_cast<std::uint32_t>(std::min<std::uintptr_t>(address & (~address + 1), 16));
}

/// A handle of cuBLASLt and the function that destroys it.
template <class Destroy>
struct HandleOf;
template <class Handle>
struct HandleOf<cublasStatus_t (*)(Handle)> {
  using Type = std::remove_pointer_t<Handle>;
};
template <class Destroy>
using Owned = std::unique_ptr<typename HandleOf<Destroy>::Type, Destroy>;

std::string soname() { return "libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR); }

}  // namespace

CublasLt::CublasLt(const std::vector<std::string>& folders) {
  const Library library(soname(), folders,
                        "pip install 'internvl-native[cuda]', which brings nvidia-cublas");
  const auto get = [&](auto& function, const char* name) {
    function = library.function<std::decay_t<decltype(function)>>(name);
  };
  get(create, "cublasLtCreate");
  get(destroy, "cublasLtDestroy");
  get(matmul, "cublasLtMatmul");
  get(get_heuristic, "cublasLtMatmulAlgoGetHeuristic");
  get(create_operation, "cublasLtMatmulDescCreate");
  get(destroy_operation, "cublasLtMatmulDescDestroy");
  get(set_operation, "cublasLtMatmulDescSetAttribute");
  get(create_layout, "cublasLtMatrixLayoutCreate");
  get(destroy_layout, "cublasLtMatrixLayoutDestroy");
  get(create_preference, "cublasLtMatmulPreferenceCreate");
  get(destroy_preference, "cublasLtMatmulPreferenceDestroy");
  get(set_preference, "cublasLtMatmulPreferenceSetAttribute");
}

/// What describes a product to cuBLASLt. Its matrices are column-major, so that ours are their
/// transposes: out^T (n, rows) = W x^T, where W^T is what it reads of our W.
struct Matmul::Operands {
  Operands(const CublasLt& functions, const Tensor& out_rows, const Tensor& x_rows,
           const Tensor& weight_rows, const void* bias)
      : lt(functions),
        out_alignment(alignment_of(out_rows.data)),
        x_alignment(alignment_of(x_rows.data)),
        weight_alignment(alignment_of(weight_rows.data)),
        weight(layout(weight_rows)),
        x(layout(x_rows)),
        out(layout(out_rows)),
        operation(nullptr, functions.destroy_operation) {
    cublasLtMatmulDesc_t made = nullptr;
    check_lt(lt.create_operation(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F),
             "cublasLtMatmulDescCreate");
    operation.reset(made);
    set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    if (bias == nullptr) return;
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(out_rows.dtype));
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  }

  using Layout = Owned<decltype(CublasLt::destroy_layout)>;

  Layout layout(const Tensor& rows) const {
    cublasLtMatrixLayout_t made = nullptr;
    check_lt(lt.create_layout(&made, type_of(rows.dtype), rows.cols, rows.rows, rows.stride),
             "cublasLtMatrixLayoutCreate");
    return Layout(made, lt.destroy_layout);
  }

  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    check_lt(lt.set_operation(operation.get(), attribute, &value, sizeof value),
             "cublasLtMatmulDescSetAttribute");
  }

  const CublasLt& lt;
  std::uint32_t out_alignment, x_alignment, weight_alignment;
  Layout weight, x, out;
  Owned<decltype(CublasLt::destroy_operation)> operation;
};

Matmul::Matmul(std::shared_ptr<Device> device, const std::vector<std::string>& folders)
    : device_(std::move(device)), lt_(folders), workspace_(device_->allocate(kWorkspaceBytes)) {
  const UseDevice use(device_->context());
  check_lt(lt_.create(&handle_), "cublasLtCreate");
}

Matmul::~Matmul() {
  give_back(device_->context(), [this] { lt_.destroy(handle_); });
}

cublasLtMatmulAlgo_t Matmul::algorithm(const Key& key, const Operands& operands) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = algorithms_.find(key);
  return found != algorithms_.end() ? found->second
                                    : algorithms_.emplace(key, choose(operands)).first->second;
}

cublasLtMatmulAlgo_t Matmul::choose(const Operands& operands) const {
  cublasLtMatmulPreference_t made = nullptr;
  check_lt(lt_.create_preference(&made), "cublasLtMatmulPreferenceCreate");
  const Owned<decltype(CublasLt::destroy_preference)> preference(made, lt_.destroy_preference);
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    check_lt(lt_.set_preference(made, attribute, &value, sizeof value),
             "cublasLtMatmulPreferenceSetAttribute");
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, operands.weight_alignment);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, operands.x_alignment);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, operands.out_alignment);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, operands.out_alignment);
  cublasLtMatmulHeuristicResult_t result{};
  int count = 0;
  check_lt(
      lt_.get_heuristic(handle_, operands.operation.get(), operands.weight.get(), operands.x.get(),
                        operands.out.get(), operands.out.get(), made, 1, &result, &count),
      "cublasLtMatmulAlgoGetHeuristic");
  check<DeviceError>(count == 1, "cuBLASLt has no algorithm for a product that is needed");
  return result.algo;
}

void Matmul::operator()(Tensor out, Tensor x, Tensor weight, const void* bias, bool accumulate) {
  check(x.dtype == weight.dtype && x.cols == weight.cols && weight.stride == weight.cols,
        "matmul: x and weight: expected one dtype and as many columns, got ", name_of(x.dtype),
        " with ", x.cols, " and ", name_of(weight.dtype), " with ", weight.cols);
  check(out.rows == x.rows && out.cols == weight.rows, "matmul: out: expected shape (", x.rows,
        ", ", weight.rows, "), got (", out.rows, ", ", out.cols, ")");
  if (x.rows == 0) return;
  const UseDevice use(device_->context());
  const Operands operands(lt_, out, x, weight, bias);
  const Key key{
      out.rows,
      out.cols,
      x.cols,
      out.stride,
      x.stride,
      out.dtype,
      x.dtype,
      operands.out_alignment << 16 | operands.x_alignment << 8 | operands.weight_alignment,
      bias != nullptr,
      accumulate};
  const cublasLtMatmulAlgo_t chosen = algorithm(key, operands);
  const float one = 1.0f;
  const float beta = accumulate ? 1.0f : 0.0f;
  check_lt(lt_.matmul(handle_, operands.operation.get(), &one, weight.data, operands.weight.get(),
                      x.data, operands.x.get(), &beta, out.data, operands.out.get(), out.data,
                      operands.out.get(), &chosen, workspace_.data(), workspace_.bytes(),
                      device_->stream()),
           "cublasLtMatmul");
}

}  // namespace internvl::cuda
