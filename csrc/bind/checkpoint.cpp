#include <pybind11/numpy.h>
#include <pybind11/stl/filesystem.h>

#include <memory>
#include <string>
#include <utility>

#include "bind/bind.h"
#include "bind/gil.h"
#include "checkpoint/byte_source.h"
#include "checkpoint/mapped_file.h"
#include "core/error.h"

namespace py = pybind11;

namespace internvl::bind {
namespace {

py::bytes read(const MappedFile& file, std::size_t offset, std::size_t bytes) {
  check(offset <= file.size() && bytes <= file.size() - offset, file.path(),
        ": expected a range inside the file's ", file.size(), " bytes, got ", bytes, " bytes at ",
        offset);
  return py::bytes(reinterpret_cast<const char*>(file.data()) + offset, bytes);
}

/// Not every path is UTF-8: like os.fsdecode.
py::str path_of(const MappedFile& file) {
  return py::reinterpret_steal<py::str>(PyUnicode_DecodeFSDefault(file.path().c_str()));
}

/// The bytes of an array that a Python callable makes whenever they are needed.
class ComputedBytes : public ByteSource {
 public:
  ComputedBytes(py::function make, std::size_t size) : make_(std::move(make)), size_(size) {}

  std::size_t size() const override { return size_; }

  std::shared_ptr<const std::byte> open() const override {
    return with_gil([this]() -> std::shared_ptr<const std::byte> {
      const auto array = make_().cast<py::array>();
      check((array.flags() & py::array::c_style) != 0 &&
                static_cast<std::size_t>(array.nbytes()) == size_,
            "make: expected a C-contiguous array of ", size_, " bytes, got ", array.nbytes());
      return {static_cast<const std::byte*>(array.data()), Keep{array}};
    });
  }

  void release(std::size_t, std::size_t) const override {}  // freed with the handle

 private:
  struct Keep {  // Whichever thread drops the handle, the array goes under the GIL.
    py::object array;
    void operator()(const std::byte*) {
      with_gil([this] { array.release().dec_ref(); });
    }
  };

  py::function make_;
  std::size_t size_;
};

}  // namespace

void bind_checkpoint(py::module_& module) {
  py::class_<ByteSource, std::shared_ptr<ByteSource>>(
      module, "ByteSource", "Where the bytes of checkpoint tensors come from.")
      .def_property_readonly("size", &ByteSource::size, "Bytes in all.");
  py::class_<ComputedBytes, ByteSource, std::shared_ptr<ComputedBytes>>(
      module, "ComputedBytes", "Bytes that are made when they are needed, and freed after that.")
      .def(py::init<py::function, std::size_t>(), py::arg("make"), py::arg("size"),
           "make() returns a C-contiguous array of `size` bytes, the same each time.");
  py::class_<MappedFile, ByteSource, std::shared_ptr<MappedFile>>(
      module, "MappedFile", "A file mapped read-only into memory, for as long as the object lives.")
      .def(py::init([](const std::filesystem::path& path) {
             return std::make_shared<MappedFile>(path.string());
           }),
           py::arg("path"),
           "Raises CheckpointError, with the system's reason, when the file cannot be mapped.")
      .def_property_readonly("path", &path_of, "As it was given.")
      .def("__len__", &MappedFile::size)
      .def("read", &read, py::arg("offset"), py::arg("bytes"),
           "A copy of `bytes` bytes at `offset`. Raises ValueError outside the file.")
      .def("release", &MappedFile::release, py::arg("offset"), py::arg("bytes"),
           "Gives the pages of this range back to the system until they are touched again.");
}

}  // namespace internvl::bind
