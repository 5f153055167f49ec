// `_core.kernels`: attention, and key-value caches to call it on.
#include <pybind11/stl.h>

#include <cstring>
#include <tuple>
#include <vector>

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
      : shape_{layers, kv_heads, head_dim, parse_dtype(dtype)} {
    const std::size_t bytes = backend->kv_page_bytes(shape_);
    for (std::int64_t first = 0; first < keys; first += kKvPageTokens) {
      Buffer page(bytes);
      std::memset(page.data(), 0xff, bytes);
      add(std::move(page));
    }
  }

  /// Copies bytes, as the model does for beams.
  KvPages(const KvPages& other) : shape_(other.shape_) {
    for (const Buffer& from : other.buffers_) {
      Buffer page(from.bytes());
      std::memcpy(page.data(), from.data(), from.bytes());
      add(std::move(page));
    }
  }

  const KvShape& shape() const { return shape_; }
  std::byte* const* pages() const { return pages_.data(); }
  std::int64_t keys() const { return static_cast<std::int64_t>(pages_.size()) * kKvPageTokens; }

 private:
  void add(Buffer page) {
    pages_.push_back(page.data());
    buffers_.push_back(std::move(page));
  }

  KvShape shape_;
  std::vector<Buffer> buffers_;
  std::vector<std::byte*> pages_;
};

/// (row, rows, past, pages, stores, scale)
using SegmentTuple =
    std::tuple<std::int64_t, std::int64_t, std::int64_t, const KvPages*, bool, float>;

std::vector<Segment> segments_of(const std::vector<SegmentTuple>& tuples, const Tensor& qkv) {
  check(!tuples.empty(), "segments: expected at least one");
  std::vector<Segment> segments;
  for (const auto& [row, rows, past, pages, stores, scale] : tuples) {
    check(row >= 0 && rows >= 0 && row + rows <= qkv.rows, "segments: expected rows in [0, ",
          qkv.rows, "), got ", rows, " from ", row);
    const std::int64_t keys = past + (stores ? rows : 0);
    check(past >= 0 && keys <= pages->keys(), "segments: expected at most ", pages->keys(),
          " keys, got ", keys);
    segments.push_back({row, rows, past, pages->pages(), stores, scale});
  }
  return segments;
}

FloatArray attention(const KernelBackend& self, const FloatArray& qkv, std::int64_t tokens,
                     std::int64_t heads, float scale, const std::string& dtype) {
  const Matrix input(qkv, parse_dtype(dtype), self.padding);
  const Matrix out(parse_dtype(dtype), input.tensor().rows, input.tensor().cols / 3, self.padding);
  {
    py::gil_scoped_release release;
    self->attention(out.tensor(), input.tensor(), tokens, heads, scale);
  }
  return out.array();
}

FloatArray rope_store_kv(const KernelBackend& self, const FloatArray& qkv, const FloatArray& table,
                         std::int64_t heads, std::int64_t layer,
                         const std::vector<SegmentTuple>& tuples) {
  const KvShape& shape = std::get<3>(tuples.at(0))->shape();
  const Matrix input(qkv, shape.dtype, self.padding);
  const Matrix angles(table, DType::kFloat32, self.padding);
  self->rope_store_kv(input.tensor(), angles.tensor(), shape, heads, layer,
                      segments_of(tuples, input.tensor()));
  return input.array();
}

FloatArray attention_cached(const KernelBackend& self, const FloatArray& qkv, std::int64_t heads,
                            std::int64_t layer, const std::vector<SegmentTuple>& tuples) {
  const KvShape& shape = std::get<3>(tuples.at(0))->shape();
  const Matrix input(qkv, shape.dtype, self.padding);
  const Matrix out(shape.dtype, input.tensor().rows, heads * shape.head_dim, self.padding);
  const std::vector<Segment> segments = segments_of(tuples, input.tensor());
  {
    py::gil_scoped_release release;
    self->attention_cached(out.tensor(), input.tensor(), shape, heads, layer, segments);
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
