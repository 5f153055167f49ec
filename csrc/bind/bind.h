// One function a topic; module.cpp calls them all.
#pragma once

#include <pybind11/pybind11.h>

namespace internvl::bind {

void bind_runtime(pybind11::module_& module);     // threads, instruction sets, backends
void bind_image(pybind11::module_& module);       // decode, resize, tile
void bind_kernels(pybind11::module_& module);     // the backend's operations on numpy arrays
void bind_checkpoint(pybind11::module_& module);  // mapped files
void bind_generation(pybind11::module_& module);  // the generation loop
void bind_dlpack(pybind11::module_& module);      // arrays of other libraries
void bind_model(pybind11::module_& module);       // the model
void bind_session(pybind11::module_& module);     // running it on batches of prompts

}  // namespace internvl::bind
