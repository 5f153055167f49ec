#pragma once

#include <pybind11/pybind11.h>

#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "checkpoint/byte_source.h"
#include "model/internvl.h"

namespace internvl::bind {

/// (source, offset, dtype, rows, cols): RowRange of checkpoint/weights.py
using PyRowRange =
    std::tuple<std::shared_ptr<ByteSource>, std::size_t, std::string, std::int64_t, std::int64_t>;

/// The constructor of InternVL, on the CPU unless there is a backend. progress(bytes) or None;
/// Ctrl-C stops it between two weights.
std::shared_ptr<InternVL> load(const pybind11::dict& config,
                               const std::map<std::string, std::vector<PyRowRange>>& weights,
                               const std::string& dtype, std::shared_ptr<Backend> backend,
                               const pybind11::object& progress);

}  // namespace internvl::bind
