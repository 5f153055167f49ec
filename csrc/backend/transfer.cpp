#include "backend/transfer.h"

#include <utility>

namespace internvl {
namespace {

Matrix copied(const Backend& backend, Matrix to, Tensor x) {
  backend.copy(to, x);
  return to;
}

}  // namespace

Matrix to_backend(const Backend& backend, Tensor x) {
  return x.place == backend.place() ? Matrix(x) : copy_to_backend(backend, x);
}

Matrix copy_to_backend(const Backend& backend, Tensor x) {
  return copied(backend, backend.matrix(x.dtype, x.rows, x.cols), x);
}

Matrix to_host(const Backend& backend, Tensor x) {
  if (x.place == Place::kHost) return Matrix(x);
  const std::size_t bytes = static_cast<std::size_t>(x.rows * x.cols) * size_of(x.dtype);
  return copied(backend, Matrix(Buffer(bytes), x.dtype, x.rows, x.cols), x);
}

Matrix keep_on_backend(const Backend& backend, Matrix x) {
  if (x.tensor().place == backend.place()) return x;
  return copy_to_backend(backend, x);
}

Buffer duplicate(const Backend& backend, const Buffer& buffer) {
  const auto count = static_cast<std::int64_t>(buffer.bytes() / sizeof(float));
  Matrix copy = backend.matrix(DType::kFloat32, 1, count);
  backend.copy(copy, {buffer.data(), DType::kFloat32, 1, count, count, buffer.place()});
  return std::move(copy).take_storage();
}

Output::Output(const Backend& backend, Tensor target)
    : backend_(backend),
      target_(target),
      written_(target.place == backend.place()
                   ? Matrix(target)
                   : backend.matrix(target.dtype, target.rows, target.cols)) {}

void Output::finish() const {
  if (target_.place != backend_.place()) backend_.copy(target_, written_);
}

}  // namespace internvl
