// The borders between the host's memory and a backend's. Where the two are one, nothing is copied.
#pragma once

#include "backend/backend.h"

namespace internvl {

/// `x` where the backend's operations read it: a view if it lies there already, else a copy.
Matrix to_backend(const Backend& backend, Tensor x);

/// `x` where the host reads it: a view if it lies there already, else a copy.
Matrix to_host(const Backend& backend, Tensor x);

/// A copy of `x` in the backend's memory, wherever `x` lies.
Matrix copy_to_backend(const Backend& backend, Tensor x);

/// `x` itself if it lies where the backend's operations read it, else a copy.
Matrix keep_on_backend(const Backend& backend, Matrix x);

/// A copy of a buffer of whole float32 values.
Buffer duplicate(const Backend& backend, const Buffer& buffer);

/// What operations write in the place of `target`: the target itself if it lies in the backend's
/// memory, else memory that finish() copies into it.
class Output {
 public:
  Output(const Backend& backend, Tensor target);

  operator Tensor() const { return written_; }
  void finish() const;

 private:
  const Backend& backend_;
  Tensor target_;
  Matrix written_;
};

}  // namespace internvl
