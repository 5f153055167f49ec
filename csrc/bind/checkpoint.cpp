#include <pybind11/stl/filesystem.h>

#include <memory>
#include <string>

#include "bind/bind.h"
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

}  // namespace

void bind_checkpoint(py::module_& module) {
  py::class_<MappedFile, std::shared_ptr<MappedFile>>(
      module, "MappedFile", "A file mapped read-only into memory, for as long as the object lives.")
      .def(py::init([](const std::filesystem::path& path) {
             return std::make_shared<MappedFile>(path.string());
           }),
           py::arg("path"),
           "Raises CheckpointError, with the system's reason, when the file cannot be mapped.")
      .def_property_readonly("path", &path_of, "As it was given.")
      .def_property_readonly("size", &MappedFile::size, "Bytes in the file.")
      .def("__len__", &MappedFile::size)
      .def("read", &read, py::arg("offset"), py::arg("bytes"),
           "A copy of `bytes` bytes at `offset`. Raises ValueError outside the file.")
      .def("release", &MappedFile::release, py::arg("offset"), py::arg("bytes"),
           "Gives the pages of this range back to the system until they are touched again.");
}

}  // namespace internvl::bind
