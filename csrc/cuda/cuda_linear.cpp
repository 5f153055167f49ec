// Weights in the GPU's memory, row-major as in the checkpoint, and the operations on them. A bias
// is kept twice: as float32 for kernels, and behind it in the weights' dtype for cuBLASLt, which
// adds one of the dtype of its result. It is rounded to the weights' dtype, as the reference's is.
#include <algorithm>
#include <cstring>

#include "backend/transfer.h"
#include "core/error.h"
#include "cuda/cuda_backend.h"
#include "cuda/transfer.h"

namespace internvl::cuda {
namespace {

constexpr std::int64_t kChunkElements = std::int64_t{4} << 20;  // converted and sent together
constexpr std::int64_t kBiasAlignment = 16;

std::int64_t rows_of(const WeightSource& source) {
  std::int64_t rows = 0;
  for (const RowRange& range : source) rows += range.rows;
  return rows;
}

/// Rows of a checkpoint in a dtype: a view, unless they have another one.
Matrix converted(const RowRange& range, std::int64_t first, std::int64_t rows, DType dtype) {
  const std::size_t size = size_of(range.dtype);
  const std::byte* from = range.data + first * range.cols * size;
  if (range.dtype == dtype)
    return Matrix(internvl::matrix(const_cast<std::byte*>(from), dtype, rows, range.cols));
  Matrix result(Buffer(rows * range.cols * size_of(dtype)), dtype, rows, range.cols);
  for (std::int64_t i = 0; i < rows * range.cols; ++i) {
    alignas(4) std::byte element[4];
    std::memcpy(element, from + i * size, size);
    store_from_float(result.tensor().data, dtype, i, load_as_float(element, range.dtype, 0));
  }
  return result;
}

/// Rows of all sources, one below the other, in the GPU's memory.
Buffer upload_rows(const Device& device, Buffer buffer,
                   const std::vector<const WeightSource*>& sources, std::int64_t cols, DType dtype,
                   const ReleaseBytes& release) {
  std::int64_t row = 0;
  const auto total = static_cast<std::int64_t>(buffer.bytes()) /
                     (cols * static_cast<std::int64_t>(size_of(dtype)));
  const Tensor all{buffer.data(), dtype, total, cols, cols, buffer.place()};
  for (const WeightSource* source : sources) {
    for (const RowRange& range : *source) {
      check(range.cols == cols, "weight: expected row ranges of ", cols, " columns, got one of ",
            range.cols);
      const std::int64_t step = std::max<std::int64_t>(1, kChunkElements / cols);
      for (std::int64_t first = 0; first < range.rows; first += step) {
        const std::int64_t rows = std::min(step, range.rows - first);
        transfer(device, all.slice_rows(row, rows), converted(range, first, rows, dtype));
        row += rows;
        if (release)
          release(range.data + first * cols * size_of(range.dtype),
                  rows * cols * size_of(range.dtype));
      }
    }
  }
  return buffer;
}

std::int64_t low_bias_offset(std::int64_t features) {
  return (features * 4 + kBiasAlignment - 1) / kBiasAlignment * kBiasAlignment;
}

/// See the top of this file; a missing one of two counts as zeros.
Buffer upload_bias(const Backend& backend, const std::vector<const WeightSource*>& biases,
                   std::int64_t features, DType dtype) {
  const auto is_empty = [](const WeightSource* bias) { return bias->empty(); };
  if (std::all_of(biases.begin(), biases.end(), is_empty)) return Buffer();
  const auto count = static_cast<std::int64_t>(biases.size()) * features;
  const std::int64_t bytes = low_bias_offset(count) + count * 4;  // room for either dtype
  Matrix host(Buffer(bytes), DType::kFloat32, 1, bytes / 4);
  auto* base = static_cast<std::byte*>(host.tensor().data);
  std::memset(base, 0, bytes);
  for (std::size_t b = 0; b < biases.size(); ++b) {
    if (biases[b]->empty()) continue;
    std::int64_t i = static_cast<std::int64_t>(b) * features;
    const std::int64_t end = i + features;
    for (const RowRange& range : *biases[b]) {
      const Matrix values = converted(range, 0, range.rows, DType::kFloat32);
      check(i + range.rows * range.cols <= end, "bias: expected ", features, " elements, got more");
      for (std::int64_t e = 0; e < range.rows * range.cols; ++e, ++i) {
        std::byte* low = base + low_bias_offset(count);
        float value;  // at any address
        std::memcpy(&value, static_cast<const std::byte*>(values.tensor().data) + e * 4, 4);
        store_from_float(low, dtype, i, value);
        reinterpret_cast<float*>(base)[i] = load_as_float(low, dtype, i);
      }
    }
    check(i == end, "bias: expected ", features, " elements, got ", i - end + features);
  }
  return keep_on_backend(backend, std::move(host)).take_storage();
}

/// The bias for a product whose result has this dtype; null if there is none.
const void* bias_of(const Linear& linear, DType out) {
  if (linear.bias.bytes() == 0) return nullptr;
  return out == DType::kFloat32 ? linear.bias.data()
                                : linear.bias.data() + low_bias_offset(linear.out_features);
}

const float* float_bias_of(const Linear& linear) {
  return static_cast<const float*>(bias_of(linear, DType::kFloat32));
}

Tensor weight_of(const Linear& linear, std::int64_t rows) {
  return {linear.weight.data(), linear.dtype,       rows,
          linear.in_features,   linear.in_features, linear.weight.place()};
}

}  // namespace

Linear CudaBackend::prepare_linear(const WeightSource& weight, const WeightSource& bias,
                                   DType dtype, const ReleaseBytes& release) const {
  check(!weight.empty(), "weight: expected at least one row range, got none");
  Linear linear;
  linear.dtype = dtype;
  linear.in_features = weight[0].cols;
  linear.out_features = rows_of(weight);
  linear.weight =
      upload_rows(*device_, allocate(linear.out_features * linear.in_features * size_of(dtype)),
                  {&weight}, linear.in_features, dtype, release);
  linear.bias = upload_bias(*this, {&bias}, linear.out_features, dtype);
  return linear;
}

Linear CudaBackend::prepare_gated(const WeightSource& gate, const WeightSource& gate_bias,
                                  const WeightSource& up, const WeightSource& up_bias, DType dtype,
                                  const ReleaseBytes& release) const {
  check(!gate.empty() && !up.empty() && rows_of(gate) == rows_of(up),
        "gate and up: expected as many rows, got ", rows_of(gate), " and ", rows_of(up));
  Linear linear;
  linear.dtype = dtype;
  linear.in_features = gate[0].cols;
  linear.out_features = rows_of(gate);
  linear.weight =
      upload_rows(*device_, allocate(2 * linear.out_features * linear.in_features * size_of(dtype)),
                  {&gate, &up}, linear.in_features, dtype, release);
  linear.bias = upload_bias(*this, {&gate_bias, &up_bias}, linear.out_features, dtype);
  return linear;
}

void CudaBackend::linear(Tensor out, Tensor x, const Linear& linear, Activation activation) const {
  const Tensor weight = weight_of(linear, linear.out_features);
  if (x.rows <= kFewRows) {
    const UseDevice use(device_->context());
    return cuda::gemv(stream(), out, x, weight, float_bias_of(linear), activation);
  }
  if (activation == Activation::kNone)
    return (*matmul_)(out, x, weight, bias_of(linear, out.dtype), false);
  (*matmul_)(out, x, weight, nullptr, false);
  const UseDevice use(device_->context());
  cuda::bias_activation(stream(), out, out, float_bias_of(linear), activation);
}

void CudaBackend::linear_gated(Tensor out, Tensor x, const Linear& linear,
                               Activation activation) const {
  const Tensor weight = weight_of(linear, 2 * linear.out_features);
  const UseDevice use(device_->context());
  if (x.rows <= kFewRows)
    return cuda::gemv_gated(stream(), out, x, weight, float_bias_of(linear), activation);
  const Matrix both = matrix(linear.dtype, x.rows, 2 * linear.out_features);
  (*matmul_)(both, x, weight, nullptr, false);
  cuda::gated_activation(stream(), out, both, float_bias_of(linear), activation);
}

// Where the product cannot take in the residual itself, one kernel behind it does all the rest.
void CudaBackend::linear_add(Tensor residual, Tensor x, const Linear& linear, Tensor scale,
                             const NextNorm& next) const {
  check(residual.dtype == DType::kFloat32, "residual: expected float32, got ",
        name_of(residual.dtype));
  const Tensor weight = weight_of(linear, linear.out_features);
  const float* bias = float_bias_of(linear);
  const auto* factors = static_cast<const float*>(scale.data);
  const UseDevice use(device_->context());
  if (x.rows <= kFewRows) {
    cuda::gemv_add(stream(), residual, x, weight, bias, factors);
  } else if (factors == nullptr) {
    (*matmul_)(residual, x, weight, bias, true);
  } else {
    const Matrix branch = matrix(DType::kFloat32, residual.rows, residual.cols);
    (*matmul_)(branch, x, weight, nullptr, false);
    if (next.norm != nullptr)
      return cuda::add_norm(stream(), next.out, residual, branch, bias, factors,
                            weights_of(*next.norm));
    cuda::add_scaled(stream(), residual, branch, bias, factors);
  }
  if (next.norm != nullptr) norm(next.out, residual, *next.norm);
}

}  // namespace internvl::cuda
