// `_core.kernels`: attention, and key-value caches to call it on.
#include <pybind11/stl.h>

#include <cstring>
#include <tuple>
#include <vector>

#include "backend/transfer.h"
#include "bind/gil.h"
#include "bind/kernels.h"
#include "core/error.h"

namespace py = pybind11;

namespace internvl::bind {
namespace {

/// The pages of one sequence, which hold NaNs where nothing is stored: operations must not depend
/// on what was in memory before.
class KvPages {
 public:
  KvPages(const KernelBackend& backend, std::int64_t layers, std::int64_t kv_heads,
          std::int64_t head_dim, const std::string& dtype, std::int64_t keys)
      : backend_(backend.backend), shape_{layers, kv_heads, head_dim, parse_dtype(dtype)} {
    const auto values = static_cast<std::int64_t>(backend->kv_page_bytes(shape_) / sizeof(float));
    const Matrix nans(Buffer(values * sizeof(float)), DType::kFloat32, 1, values);
    std::memset(nans.tensor().data, 0xff, values * sizeof(float));
    for (std::int64_t first = 0; first < keys; first += kKvPageTokens)
      add(copy_to_backend(*backend_, nans).take_storage());
  }

  /// Copies what is stored, as the model does for beams.
  KvPages(const KvPages& other) : backend_(other.backend_), shape_(other.shape_) {
    for (const Buffer& page : other.buffers_) add(duplicate(*backend_, page));
  }

  const KvShape& shape() const { return shape_; }
  std::byte* const* pages() const { return pages_.data(); }
  std::int64_t keys() const { return static_cast<std::int64_t>(pages_.size()) * kKvPageTokens; }

 private:
  void add(Buffer page) {
    pages_.push_back(page.data());
    buffers_.push_back(std::move(page));
  }

  std::shared_ptr<const Backend> backend_;
  KvShape shape_;
  std::vector<Buffer> buffers_;
  std::vector<std::byte*> pages_;
};

/// (row, rows, past, pages, stores, scale)
using SegmentTuple =
    std::tuple<std::int64_t, std::int64_t, std::int64_t, const KvPages*, bool, float>;

Segments segments_of(const KernelBackend& self, const std::vector<SegmentTuple>& tuples,
                     const Tensor& qkv) {
  check(!tuples.empty(), "segments: expected at least one");
  Segments segments;
  for (const auto& [row, rows, past, pages, stores, scale] : tuples) {
    check(row >= 0 && rows >= 0 && row + rows <= qkv.rows, "segments: expected rows in [0, ",
          qkv.rows, "), got ", rows, " from ", row);
    const std::int64_t keys = past + (stores ? rows : 0);
    check(past >= 0 && keys <= pages->keys(), "segments: expected at most ", pages->keys(),
          " keys, got ", keys);
    segments.list.push_back({row, rows, past, pages->pages(), stores, scale});
  }
  self->prepare_segments(segments);
  return segments;
}

FloatArray attention(const KernelBackend& self, const FloatArray& qkv, std::int64_t tokens,
                     std::int64_t heads, float scale, const std::string& dtype) {
  const PaddedMatrix input(self, qkv, parse_dtype(dtype));
  const PaddedMatrix out(self, parse_dtype(dtype), input.tensor().rows, input.tensor().cols / 3);
  {
    const GilReleased release;
    self->attention(out, input, tokens, heads, scale);
  }
  return out.array();
}

FloatArray rope_store_kv(const KernelBackend& self, const FloatArray& qkv, const FloatArray& table,
                         std::int64_t heads, std::int64_t layer,
                         const std::vector<SegmentTuple>& tuples) {
  const KvShape& shape = std::get<3>(tuples.at(0))->shape();
  const PaddedMatrix input(self, qkv, shape.dtype);
  const PaddedMatrix angles(self, table, DType::kFloat32);
  self->rope_store_kv(input, angles, shape, heads, layer, segments_of(self, tuples, input));
  return input.array();
}

FloatArray attention_cached(const KernelBackend& self, const FloatArray& qkv, std::int64_t heads,
                            std::int64_t layer, const std::vector<SegmentTuple>& tuples) {
  const KvShape& shape = std::get<3>(tuples.at(0))->shape();
  const PaddedMatrix input(self, qkv, shape.dtype);
  const PaddedMatrix out(self, shape.dtype, input.tensor().rows, heads * shape.head_dim);
  const Segments segments = segments_of(self, tuples, input);
  {
    const GilReleased release;
    self->attention_cached(out, input, shape, heads, layer, segments);
  }
  return out.array();
}

}  // namespace

void bind_attention_kernels(py::module_& kernels, py::class_<KernelBackend>& backend) {
  py::class_<KvPages>(kernels, "KvPages", "The keys and values of one sequence.")
      .def(py::init<const KernelBackend&, std::int64_t, std::int64_t, std::int64_t,
                    const std::string&, std::int64_t>(),
           py::arg("backend"), py::arg("layers"), py::arg("kv_heads"), py::arg("head_dim"),
           py::arg("dtype"), py::arg("keys"))
      .def("copy", [](const KvPages& self) { return KvPages(self); });
  backend
      .def("attention", &attention, py::arg("qkv"), py::arg("tokens"), py::arg("heads"),
           py::arg("scale"), py::arg("dtype") = "float32")
      .def("rope_store_kv", &rope_store_kv, py::arg("qkv"), py::arg("table"), py::arg("heads"),
           py::arg("layer"), py::arg("segments"))
      .def("attention_cached", &attention_cached, py::arg("qkv"), py::arg("heads"),
           py::arg("layer"), py::arg("segments"));
}

}  // namespace internvl::bind
