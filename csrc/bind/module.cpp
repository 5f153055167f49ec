// The extension module: exception types first, then one function a topic.
#include <pybind11/pybind11.h>

#include "bind/bind.h"
#include "core/error.h"

namespace py = pybind11;

PYBIND11_MODULE(_core, module) {
  using namespace internvl;
  // Catch clauses are tried in reverse order of registration.
  py::register_exception<InternalError>(module, "InternalError", PyExc_RuntimeError);
  py::register_exception<CheckpointError>(module, "CheckpointError", PyExc_OSError).doc() =
      "A checkpoint's file that is missing, damaged or not what config.json says.";
  py::register_exception<ImageError>(module, "ImageError", PyExc_OSError).doc() =
      "An image file that cannot be decoded.";
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const InvalidArgument& e) {
      py::set_error(PyExc_ValueError, e.what());
    }
  });
  bind::bind_runtime(module);
  bind::bind_image(module);
  bind::bind_kernels(module);
  bind::bind_checkpoint(module);
  bind::bind_generation(module);
  bind::bind_model(module);
  bind::bind_session(module);
}
