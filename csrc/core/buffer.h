// Owned memory of the host or of a device.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "core/place.h"

namespace internvl {

class Buffer {
 public:
  Buffer() = default;
  /// Uninitialised bytes of the host, 64-byte aligned; large blocks ask for huge pages. Throws
  /// std::bad_alloc.
  explicit Buffer(std::size_t bytes);
  /// Memory of a backend, whose deleter takes it back.
  Buffer(std::shared_ptr<std::byte> data, std::size_t bytes, Place place)
      : data_(std::move(data)), bytes_(bytes), place_(place) {}
  Buffer(Buffer&& other) noexcept
      : data_(std::move(other.data_)),
        bytes_(std::exchange(other.bytes_, 0)),
        place_(other.place_) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(place_, other.place_);
    return *this;
  }

  std::byte* data() const { return data_.get(); }
  std::size_t bytes() const { return bytes_; }
  Place place() const { return place_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data());
  }

 private:
  std::shared_ptr<std::byte> data_;
  std::size_t bytes_ = 0;
  Place place_ = Place::kHost;
};

}  // namespace internvl
