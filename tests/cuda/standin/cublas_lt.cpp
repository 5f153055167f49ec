// A library in the place of libcublasLt.so: column-major products, summed in float64 and rounded
// once. An algorithm is bound to the shapes and alignments that it was chosen for.
#include <cublasLt.h>

#include <cstring>

#include "core/dtype.h"
#include "machine.h"

struct cublasLtContext {};

struct cublasLtMatmulDescOpaque_t {
  cublasOperation_t transposed_a = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  cudaDataType_t bias_type = CUDA_R_32F;
  const void* bias = nullptr;
};

struct cublasLtMatrixLayoutOpaque_t {
  cudaDataType_t type;
  std::uint64_t rows, cols;
  std::int64_t leading;
};

struct cublasLtMatmulPreferenceOpaque_t {
  std::size_t workspace = 0;
  std::uint32_t alignment[4] = {256, 256, 256, 256};  // of a, b, c and d, as in cuBLASLt
};

namespace {

using internvl::DType;

DType dtype_of(cudaDataType_t type) {
  return type == CUDA_R_32F   ? DType::kFloat32
         : type == CUDA_R_16F ? DType::kFloat16
                              : DType::kBFloat16;
}

// What an algorithm holds of the shapes that it was chosen for.
struct Choice {
  std::uint64_t m, n, k;
  std::uint64_t alignment[4];
};
static_assert(sizeof(Choice) <= sizeof(cublasLtMatmulAlgo_t));

bool fit(const cublasLtMatmulDescOpaque_t& operation, const cublasLtMatrixLayoutOpaque_t& a,
         const cublasLtMatrixLayoutOpaque_t& b, const cublasLtMatrixLayoutOpaque_t& c,
         const cublasLtMatrixLayoutOpaque_t& d) {
  const bool type = a.type == b.type && c.type == d.type &&
                    (d.type == CUDA_R_32F || d.type == a.type) &&
                    (operation.bias == nullptr || operation.bias_type == d.type);
  return type && operation.transposed_a == CUBLAS_OP_T && a.rows == b.rows && a.cols == d.rows &&
         b.cols == d.cols && c.rows == d.rows && c.cols == d.cols;
}

struct Operand {
  const void* data;
  cublasLtMatrixLayoutOpaque_t layout;

  double at(std::uint64_t row, std::uint64_t col) const {
    return internvl::load_as_float(data, dtype_of(layout.type),
                                   static_cast<std::int64_t>(col * layout.leading + row));
  }
};

struct Product {
  cublasLtMatmulDescOpaque_t operation;
  Operand a, b, c, d;
  void* out;  // of d
  float scale, carry;

  void compute() const {
    const bool has_bias = operation.epilogue == CUBLASLT_EPILOGUE_BIAS;
    for (std::uint64_t col = 0; col < d.layout.cols; ++col) {
      for (std::uint64_t row = 0; row < d.layout.rows; ++row) {
        double sum = 0.0;
        for (std::uint64_t i = 0; i < a.layout.rows; ++i) sum += a.at(i, row) * b.at(i, col);
        sum *= scale;
        if (carry != 0.0f) sum += carry * c.at(row, col);
        if (has_bias)
          sum += internvl::load_as_float(operation.bias, dtype_of(operation.bias_type),
                                         static_cast<std::int64_t>(row));
        internvl::store_from_float(out, dtype_of(d.layout.type),
                                   static_cast<std::int64_t>(col * d.layout.leading + row),
                                   static_cast<float>(sum));
      }
    }
  }
};

bool is_aligned(const void* data, std::uint64_t bytes) {
  return reinterpret_cast<std::uintptr_t>(data) % bytes == 0;
}

template <class T>
cublasStatus_t make(T** target) {
  *target = new T();
  return CUBLAS_STATUS_SUCCESS;
}

template <class T>
cublasStatus_t destroy(T* object) {
  delete object;
  return CUBLAS_STATUS_SUCCESS;
}

template <class T>
cublasStatus_t set(T& target, const void* value, std::size_t bytes) {
  if (bytes != sizeof target) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&target, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) { return make(handle); }
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) { return destroy(handle); }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* operation,
                                        cublasComputeType_t compute, cudaDataType_t scale) {
  if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  return make(operation);
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) {
  return destroy(operation);
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, std::size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return set(operation->transposed_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return set(operation->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return set(operation->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE: return set(operation->bias_type, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type,
                                          std::uint64_t rows, std::uint64_t cols,
                                          std::int64_t leading) {
  if (leading < static_cast<std::int64_t>(rows)) return CUBLAS_STATUS_INVALID_VALUE;
  *layout = new cublasLtMatrixLayoutOpaque_t{type, rows, cols, leading};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return destroy(layout);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  return make(preference);
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return destroy(preference);
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, std::size_t bytes) {
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
    return set(preference->workspace, value, bytes);
  return set(preference->alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value,
             bytes);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int asked,
                                              cublasLtMatmulHeuristicResult_t results[],
                                              int* count) {
  *count = 0;
  if (asked < 1 || !fit(*operation, *a, *b, *c, *d)) return CUBLAS_STATUS_NOT_SUPPORTED;
  Choice choice{d->rows, d->cols, a->rows, {}};
  for (int i = 0; i < 4; ++i) choice.alignment[i] = preference->alignment[i];
  std::memcpy(&results[0].algo, &choice, sizeof choice);
  results[0].workspaceSize = preference->workspace;
  results[0].state = CUBLAS_STATUS_SUCCESS;
  *count = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t operation, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algo,
                              void* workspace, std::size_t workspace_bytes, cudaStream_t stream) {
  Choice choice;
  std::memcpy(&choice, algo, sizeof choice);
  const void* const operands[] = {a, b, c, d};
  bool right = fit(*operation, *a_layout, *b_layout, *c_layout, *d_layout) &&
               choice.m == d_layout->rows && choice.n == d_layout->cols &&
               choice.k == a_layout->rows && stream != nullptr && workspace != nullptr &&
               workspace_bytes > 0;
  for (int i = 0; i < 4; ++i) right = right && is_aligned(operands[i], choice.alignment[i]);
  if (!right) return CUBLAS_STATUS_INVALID_VALUE;
  float scale, carry;
  std::memcpy(&scale, alpha, sizeof scale);
  std::memcpy(&carry, beta, sizeof carry);
  stream->queue([product = Product{*operation,
                                   {a, *a_layout},
                                   {b, *b_layout},
                                   {c, *c_layout},
                                   {d, *d_layout},
                                   d,
                                   scale,
                                   carry}] { product.compute(); });
  return CUBLAS_STATUS_SUCCESS;
}
