// `_core.kernels`: operations on random numbers in a backend's own memory, for timings that contain
// neither conversions of arrays nor, where the backend records, calls from the host.
#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include "backend/transfer.h"
#include "bind/gil.h"
#include "bind/kernels.h"
#include "core/error.h"

namespace py = pybind11;

namespace internvl::bind {
namespace {

/// An operation and its operands.
struct Operation {
  std::shared_ptr<const Backend> backend;
  std::function<void()> run;
  bool waits = false;  ///< `run` hands results to the host: it cannot be recorded
};

template <class T>
std::shared_ptr<T> shared(T value) {
  return std::make_shared<T>(std::move(value));
}

/// Normal numbers: how fast a device is depends on the bits that change. One block stands for as
/// many as are needed.
class Numbers {
 public:
  explicit Numbers(DType dtype) : block_(Buffer(kCount * size_of(dtype)), dtype, 1, kCount) {
    std::mt19937 engine(0);
    std::normal_distribution<float> normal(0.0f, 0.1f);
    for (std::int64_t i = 0; i < kCount; ++i)
      store_from_float(block_.tensor().data, dtype, i, normal(engine));
  }

  Matrix matrix(const Backend& backend, std::int64_t rows, std::int64_t cols) const {
    Matrix result = backend.matrix(block_.tensor().dtype, rows, cols);
    const std::int64_t count = rows * cols;
    const Tensor flat{result.tensor().data, result.tensor().dtype, 1, count, count,
                      result.tensor().place};
    for (std::int64_t first = 0; first < count; first += kCount) {
      const std::int64_t part = std::min(kCount, count - first);
      backend.copy(flat.slice_cols(first, part), block_.tensor().slice_cols(0, part));
    }
    return result;
  }

  WeightSource weight(std::int64_t rows, std::int64_t cols) const {
    check(cols > 0 && cols <= kCount, "in_features: expected 1 to ", kCount, ", got ", cols);
    const Tensor& block = block_.tensor();
    WeightSource source;
    for (std::int64_t first = 0; first < rows; first += kCount / cols) {
      const std::int64_t part = std::min(kCount / cols, rows - first);
      source.push_back({static_cast<const std::byte*>(block.data), block.dtype, part, cols});
    }
    return source;
  }

 private:
  static constexpr std::int64_t kCount = std::int64_t{1} << 20;

  Matrix block_;
};

/// Seconds of one run: the mean of `runs` that are queued together, `repeats` times.
std::vector<double> seconds(const Operation& self, int runs, int repeats) {
  check(runs > 0 && repeats > 0, "runs, repeats: expected at least 1, got ", runs, " and ",
        repeats);
  using Clock = std::chrono::steady_clock;
  const Backend& backend = *self.backend;
  const Matrix mark = backend.matrix(DType::kFloat32, 1, 1);
  const auto wait = [&] { to_host(backend, mark); };
  const auto all = [&] {
    for (int i = 0; i < runs; ++i) self.run();
  };
  Recording recording;
  const auto queue = [&] { self.waits ? all() : backend.replay(recording, all); };
  queue();  // loads kernels
  queue();  // records
  wait();
  std::vector<double> result;
  for (int i = 0; i < repeats; ++i) {
    const Clock::time_point start = Clock::now();
    queue();
    wait();
    result.push_back(std::chrono::duration<double>(Clock::now() - start).count() / runs);
  }
  return result;
}

Operation copy(const KernelBackend& self, std::int64_t bytes) {
  const Numbers numbers(DType::kFloat32);
  const std::int64_t count = bytes / 4;
  const auto x = shared(numbers.matrix(*self.backend, 1, count));
  const auto out = shared(self->matrix(DType::kFloat32, 1, count));
  return {self.backend, [=, backend = self.backend] { backend->copy(*out, *x); }};
}

/// A pass over `copies` weights, so that no cache has the next one.
Operation linear(const KernelBackend& self, std::int64_t rows, std::int64_t out_features,
                 std::int64_t in_features, const std::string& dtype, const std::string& operation,
                 const std::string& activation, int copies) {
  check(operation == "linear" || operation == "gated" || operation == "add",
        "operation: expected 'linear', 'gated' or 'add', got '", operation, "'");
  const DType weights = parse_dtype(dtype);
  const DType values = self->activation_dtype(weights);
  const Activation function = parse_activation(activation);
  const Numbers numbers(weights);
  const WeightSource source = numbers.weight(out_features, in_features);
  const auto all = std::make_shared<std::vector<Linear>>();
  for (int i = 0; i < copies; ++i) {
    all->push_back(operation == "gated" ? self->prepare_gated(source, {}, source, {}, weights, {})
                                        : self->prepare_linear(source, {}, weights, {}));
  }
  const auto x = shared(Numbers(values).matrix(*self.backend, rows, in_features));
  const bool adds = operation == "add";
  const auto out =
      shared(Numbers(adds ? DType::kFloat32 : values).matrix(*self.backend, rows, out_features));
  const bool gated = operation == "gated";
  return {self.backend, [=, backend = self.backend] {
            for (const Linear& weight : *all) {
              if (adds) {
                backend->linear_add(*out, *x, weight);
              } else if (gated) {
                backend->linear_gated(*out, *x, weight, function);
              } else {
                backend->linear(*out, *x, weight, function);
              }
            }
          }};
}

Operation norm(const KernelBackend& self, std::int64_t rows, std::int64_t cols,
               const std::string& kind, const std::string& dtype) {
  check(kind == "rms" || kind == "layer", "kind: expected 'rms' or 'layer', got '", kind, "'");
  const Numbers numbers(DType::kFloat32);
  const bool layer = kind == "layer";
  const auto vector = [&] { return numbers.matrix(*self.backend, 1, cols).take_storage(); };
  const auto parameters = shared(Norm{layer ? Norm::Kind::kLayer : Norm::Kind::kRms, 1e-6f,
                                      vector(), layer ? vector() : Buffer()});
  const auto x = shared(numbers.matrix(*self.backend, rows, cols));
  const auto out = shared(self->matrix(parse_dtype(dtype), rows, cols));
  return {self.backend, [=, backend = self.backend] { backend->norm(*out, *x, *parameters); }};
}

Operation patchify(const KernelBackend& self, std::int64_t tiles, std::int64_t size,
                   std::int64_t patch, const std::string& dtype) {
  constexpr std::int64_t kChannels = 3;
  const DType type = parse_dtype(dtype);
  const std::int64_t patches = (size / patch) * (size / patch);
  const auto pixels = shared(Numbers(type).matrix(*self.backend, tiles, kChannels * size * size));
  const auto out = shared(self->matrix(type, tiles * patches, kChannels * patch * patch));
  return {self.backend, [=, backend = self.backend] {
            backend->patchify(*out, *pixels, kChannels, size, size, patch);
          }};
}

Operation pixel_shuffle(const KernelBackend& self, std::int64_t tiles, std::int64_t side,
                        std::int64_t cols) {
  constexpr std::int64_t kFactor = 2;
  const Numbers numbers(DType::kFloat32);
  const auto x = shared(numbers.matrix(*self.backend, tiles * (side * side + 1), cols));
  const std::int64_t rows = tiles * (side / kFactor) * (side / kFactor);
  const auto out = shared(self->matrix(DType::kFloat32, rows, cols * kFactor * kFactor));
  return {self.backend,
          [=, backend = self.backend] { backend->pixel_shuffle(*out, *x, side, kFactor, false); }};
}

Operation argmax(const KernelBackend& self, std::int64_t rows, std::int64_t cols) {
  const auto x = shared(Numbers(DType::kFloat32).matrix(*self.backend, rows, cols));
  return {self.backend, [=, backend = self.backend] { backend->choose(*x, {}, {}); }, true};
}

float scale_of(std::int64_t head_dim) { return 1.0f / std::sqrt(static_cast<float>(head_dim)); }

Operation attention(const KernelBackend& self, std::int64_t tiles, std::int64_t tokens,
                    std::int64_t heads, std::int64_t head_dim, const std::string& dtype) {
  const DType type = parse_dtype(dtype);
  const std::int64_t width = heads * head_dim;
  const auto qkv = shared(Numbers(type).matrix(*self.backend, tiles * tokens, 3 * width));
  const auto out = shared(self->matrix(type, tiles * tokens, width));
  return {self.backend, [=, backend = self.backend] {
            backend->attention(*out, *qkv, tokens, heads, scale_of(head_dim));
          }};
}

/// `rows` tokens of one sequence behind `past` others, in each of `layers` layers.
struct Cached {
  Cached(const Backend& backend, const KvShape& shape, std::int64_t heads, std::int64_t rows,
         std::int64_t past)
      : shape(shape),
        heads(heads),
        qkv(Numbers(shape.dtype)
                .matrix(backend, rows, (heads + 2 * shape.kv_heads) * shape.head_dim)),
        out(backend.matrix(shape.dtype, rows, heads * shape.head_dim)) {
    const auto values =
        static_cast<std::int64_t>(backend.kv_page_bytes(shape) / size_of(shape.dtype));
    const Numbers numbers(shape.dtype);
    for (std::int64_t first = 0; first < past + rows; first += kKvPageTokens) {
      buffers.push_back(numbers.matrix(backend, 1, values).take_storage());
      pages.push_back(buffers.back().data());
    }
    segments.list.push_back({0, rows, past, pages.data(), true, scale_of(shape.head_dim)});
    backend.prepare_segments(segments);
    Matrix host(Buffer(rows * shape.head_dim * sizeof(float)), DType::kFloat32, rows,
                shape.head_dim);
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t i = 0; i < shape.head_dim / 2; ++i) {
        const auto angle = static_cast<float>(past + r + i);
        host.tensor().row<float>(r)[i] = std::cos(angle);
        host.tensor().row<float>(r)[shape.head_dim / 2 + i] = std::sin(angle);
      }
    }
    angles = keep_on_backend(backend, std::move(host));
  }

  KvShape shape;
  std::int64_t heads;
  Matrix qkv, out, angles;
  std::vector<Buffer> buffers;
  std::vector<std::byte*> pages;
  Segments segments;
};

Operation cached(const KernelBackend& self, const std::string& operation, std::int64_t rows,
                 std::int64_t past, std::int64_t heads, std::int64_t kv_heads,
                 std::int64_t head_dim, std::int64_t layers, const std::string& dtype) {
  check(operation == "attention" || operation == "rope",
        "operation: expected 'attention' or 'rope', got '", operation, "'");
  const KvShape shape{layers, kv_heads, head_dim, parse_dtype(dtype)};
  const auto on = std::make_shared<Cached>(*self.backend, shape, heads, rows, past);
  const bool rotates = operation == "rope";
  return {self.backend, [=, backend = self.backend] {
            for (std::int64_t layer = 0; layer < layers; ++layer) {
              if (rotates) {
                backend->rope_store_kv(on->qkv, on->angles, on->shape, heads, layer, on->segments);
              } else {
                backend->attention_cached(on->out, on->qkv, on->shape, heads, layer, on->segments);
              }
            }
          }};
}

}  // namespace

void bind_operations(py::module_& kernels, py::class_<KernelBackend>& backend) {
  py::class_<Operation>(kernels, "Operation", "An operation on random numbers, ready to run.")
      .def("seconds", &seconds, py::arg("runs"), py::arg("repeats"), py::call_guard<GilReleased>(),
           "Of one run: the mean of `runs` that are queued together, `repeats` times.");
  backend.def("copy_of", &copy, py::arg("bytes"))
      .def("linear_of", &linear, py::arg("rows"), py::arg("out_features"), py::arg("in_features"),
           py::arg("dtype"), py::arg("operation") = "linear", py::arg("activation") = "none",
           py::arg("copies") = 1)
      .def("norm_of", &norm, py::arg("rows"), py::arg("cols"), py::arg("kind"), py::arg("dtype"))
      .def("patchify_of", &patchify, py::arg("tiles"), py::arg("size"), py::arg("patch"),
           py::arg("dtype"))
      .def("pixel_shuffle_of", &pixel_shuffle, py::arg("tiles"), py::arg("side"), py::arg("cols"))
      .def("argmax_of", &argmax, py::arg("rows"), py::arg("cols"))
      .def("attention_of", &attention, py::arg("tiles"), py::arg("tokens"), py::arg("heads"),
           py::arg("head_dim"), py::arg("dtype"))
      .def("cached_of", &cached, py::arg("operation"), py::arg("rows"), py::arg("past"),
           py::arg("heads"), py::arg("kv_heads"), py::arg("head_dim"), py::arg("layers"),
           py::arg("dtype"));
}

}  // namespace internvl::bind
