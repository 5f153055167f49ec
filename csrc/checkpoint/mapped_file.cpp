#include "checkpoint/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "core/error.h"

namespace internvl {
namespace {

[[noreturn]] void fail(const std::string& path, const char* action, int error) {
  throw CheckpointError(
      message(path, ": cannot ", action, ": ", std::generic_category().message(error)));
}

/// Closed when the mapping exists: it does not need the descriptor.
struct Descriptor {
  int value;
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
};

}  // namespace

MappedFile::MappedFile(std::string path) : path_(std::move(path)) {
  // O_NONBLOCK: opening a pipe by mistake must not wait for a writer.
  const Descriptor file{::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.value < 0) fail(path_, "open the file", errno);
  struct stat status;
  if (::fstat(file.value, &status) != 0) fail(path_, "read the file's size", errno);
  check<CheckpointError>(S_ISREG(status.st_mode), path_, ": expected a regular file");
  size_ = static_cast<std::size_t>(status.st_size);
  if (size_ == 0) return;  // mmap refuses empty mappings
  void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.value, 0);
  if (address == MAP_FAILED) fail(path_, "map the file", errno);
  data_ = static_cast<std::byte*>(address);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

void MappedFile::release(std::size_t offset, std::size_t bytes) const {
  check(offset <= size_ && bytes <= size_ - offset, path_, ": expected a range inside the file's ",
        size_, " bytes, got ", bytes, " bytes at ", offset);
  if (bytes == 0) return;
  // Rounded outwards to the windows in which Linux maps pages around the one that was touched: what
  // a neighbour still needs is merely mapped once more.
  constexpr std::size_t kWindow = std::size_t{64} << 10;
  const std::size_t begin = offset / kWindow * kWindow;
  const std::size_t end = std::min(size_, (offset + bytes + kWindow - 1) / kWindow * kWindow);
  ::madvise(data_ + begin, end - begin, MADV_DONTNEED);  // advice: failing costs memory only
}

}  // namespace internvl
