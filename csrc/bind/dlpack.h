// DLPack (https://dmlc.github.io/dlpack): arrays of other libraries, used where they lie.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <vector>

#include "core/dtype.h"
#include "core/place.h"

namespace internvl::bind {

struct ManagedTensor;

/// `_core.LentArray`: a contiguous array that is lent for as long as the object lives.
class LentArray {
 public:
  /// Takes over the capsule that __dlpack__() returns. Throws InvalidArgument for another object,
  /// and for arrays that are not contiguous or of a dtype that models do not have.
  explicit LentArray(const pybind11::object& capsule);
  ~LentArray();
  LentArray(const LentArray&) = delete;
  LentArray& operator=(const LentArray&) = delete;

  void* data() const;
  DType dtype() const { return dtype_; }
  Place place() const { return place_; }
  const std::vector<std::int64_t>& shape() const { return shape_; }

 private:
  ManagedTensor* managed_;
  DType dtype_;
  Place place_;
  std::vector<std::int64_t> shape_;
};

}  // namespace internvl::bind
