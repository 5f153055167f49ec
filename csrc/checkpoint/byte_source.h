// Where the bytes of checkpoint tensors come from: a mapped file, or memory that is filled when
// the tensor is needed and freed after it.
#pragma once

#include <cstddef>
#include <memory>

namespace internvl {

class ByteSource {
 public:
  virtual ~ByteSource() = default;

  virtual std::size_t size() const = 0;

  /// The first byte; all of them are readable while the returned handle and this object live.
  virtual std::shared_ptr<const std::byte> open() const = 0;

  /// [offset, offset + bytes) will not be read soon: its memory may go back to the system.
  virtual void release(std::size_t offset, std::size_t bytes) const = 0;
};

}  // namespace internvl
