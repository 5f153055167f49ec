// The extension module: exception types first, then one function a topic.
#include <pybind11/pybind11.h>

#include <cstring>
#include <exception>
#include <utility>

#include "bind/bind.h"
#include "bind/gil.h"
#include "core/error.h"

namespace py = pybind11;

namespace {

/// A message may hold a path, which need not be UTF-8: it is read as os.fsdecode reads paths.
void raise(py::handle type, const std::exception& error) {
  const auto text = py::reinterpret_steal<py::object>(PyUnicode_DecodeUTF8(
      error.what(), static_cast<py::ssize_t>(std::strlen(error.what())), "surrogateescape"));
  if (text) PyErr_SetObject(type.ptr(), text.ptr());
}

/// Turns the C++ exception into the Python one. Later registrations are tried first.
template <class Error>
void translate(py::handle to) {
  static py::handle type;
  type = to;
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const Error& error) {
      raise(type, error);
    }
  });
}

template <class Error>
py::object make_exception(py::module_& module, const char* name, PyObject* base) {
  py::exception<Error> type(module, name, base);  // the module keeps it alive
  translate<Error>(type);
  return std::move(type);
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  using namespace internvl;
  make_exception<InternalError>(module, "InternalError", PyExc_RuntimeError);
  make_exception<CheckpointError>(module, "CheckpointError", PyExc_OSError).doc() =
      "A checkpoint's file that is missing, damaged or not what config.json says.";
  make_exception<ImageError>(module, "ImageError", PyExc_OSError).doc() =
      "An image file that cannot be decoded.";
  make_exception<DeviceError>(module, "DeviceError", PyExc_RuntimeError).doc() =
      "A GPU that is missing, fails or is out of memory.";
  translate<InvalidArgument>(PyExc_ValueError);
  bind::keep_ended_threads();
  bind::bind_runtime(module);
  bind::bind_image(module);
  bind::bind_kernels(module);
  bind::bind_checkpoint(module);
  bind::bind_generation(module);
  bind::bind_dlpack(module);
  bind::bind_model(module);
  bind::bind_session(module);
}
