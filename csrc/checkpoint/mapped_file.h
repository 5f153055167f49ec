// A checkpoint file mapped into memory, read-only.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "checkpoint/byte_source.h"

namespace internvl {

/// The whole file stays mapped as long as the object lives. Pages are read from the file when
/// they are touched, and may be given back while they are not needed.
class MappedFile : public ByteSource {
 public:
  /// Throws CheckpointError naming the file, with the system's reason, when it cannot be mapped.
  explicit MappedFile(std::string path);
  ~MappedFile() override;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  const std::byte* data() const { return data_; }  ///< null for an empty file
  std::size_t size() const override { return size_; }

  /// Points into the mapping, which lives as long as this object.
  std::shared_ptr<const std::byte> open() const override {
    return {std::shared_ptr<void>(), data_};
  }

  /// Gives the pages that hold [offset, offset + bytes) back to the system, so that they do not
  /// count as this process's memory. They are read again from the file if touched later.
  void release(std::size_t offset, std::size_t bytes) const override;

 private:
  std::string path_;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace internvl
