// Operations that move, convert or normalise rows.
#include "backend/transfer.h"
#include "core/error.h"
#include "cuda/cuda_backend.h"
#include "cuda/transfer.h"

namespace internvl::cuda {

void CudaBackend::copy(Tensor out, Tensor x) const {
  if (out.dtype == x.dtype) return transfer(*device_, out, x);
  const UseDevice use(device_->context());
  cuda::gather_rows(stream(), out, x, nullptr);
}

void CudaBackend::patchify(Tensor out, Tensor pixels, std::int64_t channels, std::int64_t height,
                           std::int64_t width, std::int64_t patch) const {
  const UseDevice use(device_->context());
  cuda::patchify(stream(), out, pixels, channels, height, width, patch);
}

void CudaBackend::vision_embed(Tensor hidden, Tensor patches, Tensor class_embedding,
                               Tensor position) const {
  const UseDevice use(device_->context());
  cuda::vision_embed(stream(), hidden, patches, class_embedding, position);
}

void CudaBackend::gather_rows(Tensor out, Tensor table,
                              const std::vector<std::int32_t>& rows) const {
  const auto count = static_cast<std::int64_t>(rows.size());
  check(out.rows == count, "gather_rows: out: expected ", count, " rows, got ", out.rows);
  static_assert(sizeof(float) == sizeof(std::int32_t));
  std::vector<std::int32_t> indices = rows;  // sent as four-byte elements
  const Matrix sent =
      to_backend(*this, internvl::matrix(indices.data(), DType::kFloat32, 1, count));
  const UseDevice use(device_->context());
  cuda::gather_rows(stream(), out, table, static_cast<const std::int32_t*>(sent.tensor().data));
}

void CudaBackend::norm(Tensor out, Tensor x, const Norm& norm) const {
  const UseDevice use(device_->context());
  cuda::norm(stream(), out, x, weights_of(norm));
}

void CudaBackend::qk_norm(Tensor q, Tensor k, const Norm& q_norm, const Norm& k_norm) const {
  const UseDevice use(device_->context());
  cuda::qk_norm(stream(), q, k, weights_of(q_norm), weights_of(k_norm));
}

void CudaBackend::pixel_shuffle(Tensor out, Tensor x, std::int64_t side, std::int64_t factor,
                                bool transposed) const {
  const UseDevice use(device_->context());
  cuda::pixel_shuffle(stream(), out, x, side, factor, transposed);
}

void CudaBackend::pixel_shuffle_norm(Tensor out, Tensor x, std::int64_t side, std::int64_t factor,
                                     bool transposed, const Norm& norm) const {
  const UseDevice use(device_->context());
  cuda::pixel_shuffle_norm(stream(), out, x, side, factor, transposed, weights_of(norm));
}

}  // namespace internvl::cuda
