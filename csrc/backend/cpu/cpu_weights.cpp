// Preparing the weights of linear operations: packing them into panels.
#include <algorithm>
#include <cstring>
#include <optional>

#include "backend/cpu/cpu_backend.h"
#include "core/error.h"
#include "core/thread_pool.h"

namespace internvl::cpu {
namespace {

constexpr int kLineBytes = 64;

/// The rows of a WeightSource by number.
class Rows {
 public:
  Rows(const WeightSource& source, const char* what) : source_(source) {
    check(!source.empty(), what, ": expected at least one row range, got none");
    for (const RowRange& range : source) {
      check(range.cols == source[0].cols, what, ": expected row ranges of ", source[0].cols,
            " columns, got one of ", range.cols);
      first_.push_back(count_);
      count_ += range.rows;
    }
    check(count_ >= 1 && cols() >= 1, what, ": expected a matrix, got shape (", count_, ", ",
          cols(), ")");
  }

  std::int64_t count() const { return count_; }
  std::int64_t cols() const { return source_[0].cols; }

  /// A row to be read in pieces, each `count` elements from `first` on, converted.
  struct Row {
    const std::byte* data;
    DType dtype;

    template <class T>
    void read(T* out, std::int64_t first, std::int64_t count) const {
      const std::byte* from = data + first * size_of(dtype);
      switch (dtype) {
        case DType::kFloat32: return convert<float>(out, from, count);
        case DType::kBFloat16: return convert<BFloat16>(out, from, count);
        case DType::kFloat16: return convert<Float16>(out, from, count);
      }
    }
  };
  Row row(std::int64_t number) const { return {data_of(number), range_of(number).dtype}; }

  /// Gives back rows [begin, end), which may lie in several ranges.
  void release(std::int64_t begin, std::int64_t end, const ReleaseBytes& release) const {
    while (begin < end) {
      const RowRange& range = range_of(begin);
      const std::int64_t rows = std::min(end, first_[&range - source_.data()] + range.rows) - begin;
      release(data_of(begin), rows * range.cols * size_of(range.dtype));
      begin += rows;
    }
  }

 private:
  const RowRange& range_of(std::int64_t row) const {
    return source_[std::upper_bound(first_.begin(), first_.end(), row) - first_.begin() - 1];
  }

  const std::byte* data_of(std::int64_t row) const {
    const RowRange& range = range_of(row);
    const std::int64_t element = (row - first_[&range - source_.data()]) * range.cols;
    return range.data + element * size_of(range.dtype);
  }

  template <class From, class T>
  static void convert(T* out, const std::byte* from, std::int64_t count) {
    if constexpr (std::is_same_v<From, T>) {
      if (count * sizeof(T) == kLineBytes) {
        std::memcpy(out, from, kLineBytes);  // of a size that is known: a few moves, no call
      } else {
        std::memcpy(out, from, count * sizeof(T));
      }
    } else {
      for (std::int64_t i = 0; i < count; ++i) {
        From value;
        std::memcpy(&value, from + i * sizeof value, sizeof value);
        assign(out[i], to_float(value));
      }
    }
  }
  static void assign(float& out, float value) { out = value; }
  static void assign(BFloat16& out, float value) { out = to_bfloat16(value); }
  static void assign(Float16& out, float value) { out = to_float16(value); }

  const WeightSource& source_;
  std::vector<std::int64_t> first_;
  std::int64_t count_ = 0;
};

/// Which row of which source stands in a column of a panel: half a panel of each of two sources,
/// or a whole panel of one.
class Panels {
 public:
  Panels(std::vector<const Rows*> sources, int panel_columns)
      : sources_(std::move(sources)),
        panel_columns_(panel_columns),
        share_(panel_columns / static_cast<int>(sources_.size())) {}

  std::int64_t count() const { return divide_up(sources_[0]->count(), share_); }
  int columns() const { return panel_columns_; }

  /// The row in a column of a panel; none in padding.
  std::optional<Rows::Row> row(std::int64_t panel, int column) const {
    const Rows& rows = *sources_[column / share_];
    const std::int64_t number = panel * share_ + column % share_;
    if (number >= rows.count()) return std::nullopt;
    return rows.row(number);
  }

  /// Gives back the rows of panels [begin, end).
  void release(std::int64_t begin, std::int64_t end, const ReleaseBytes& release) const {
    for (const Rows* rows : sources_) {
      rows->release(begin * share_, std::min(end * share_, rows->count()), release);
    }
  }

 private:
  std::vector<const Rows*> sources_;
  int panel_columns_;
  int share_;
};

constexpr int kBlockColumns = 8;  // divides panel_columns of every instruction set

/// (ceil(cols / kGroup), columns, kGroup): kGroup neighbours of a row stay together.
template <class T, int kGroup>
void pack_panel(T* out, const Panels& panels, std::int64_t panel, std::int64_t cols) {
  struct Group {
    T elements[kGroup];
  };
  constexpr int kLine = kLineBytes / sizeof(T);
  const int columns = panels.columns();
  for (int column = 0; column < columns; column += kBlockColumns) {
    std::optional<Rows::Row> rows[kBlockColumns];
    for (int c = 0; c < kBlockColumns; ++c) rows[c] = panels.row(panel, column + c);
    // Whole cache lines are gathered before they are turned: rows often lie a power of two apart,
    // and their lines evict each other from the first-level cache.
    T block[kBlockColumns][kLine] = {};
    for (std::int64_t k = 0; k < cols; k += kLine) {
      const bool whole = cols - k >= kLine;
      if (!whole) std::memset(static_cast<void*>(block), 0, sizeof block);
      for (int c = 0; c < kBlockColumns; ++c) {
        if (rows[c]) rows[c]->read(block[c], k, whole ? kLine : cols - k);
      }
      const std::int64_t groups = whole ? kLine / kGroup : divide_up(cols - k, kGroup);
      T* target = out + k * columns + column * kGroup;
      for (std::int64_t g = 0; g < groups; ++g, target += columns * kGroup) {
        Group line[kBlockColumns];
        for (int c = 0; c < kBlockColumns; ++c) {
          std::memcpy(&line[c], block[c] + g * kGroup, sizeof(Group));
        }
        std::memcpy(target, line, sizeof line);
      }
    }
  }
}

// Pages of the checkpoint are given back task by task, which interrupts all threads: not too often.
constexpr std::int64_t kTaskBytes = std::int64_t{4} << 20;
constexpr std::int64_t kTasksPerThread = 4;

template <class T, int kGroup>
Buffer pack(const Panels& panels, std::int64_t cols, const ReleaseBytes& release) {
  const std::int64_t depth = divide_up(cols, kGroup) * kGroup;
  const std::int64_t panel_elements = depth * panels.columns();
  const std::int64_t panel_bytes = panel_elements * sizeof(T);
  Buffer buffer(panels.count() * panel_bytes);
  const std::int64_t run =
      std::clamp<std::int64_t>(panels.count() / (kTasksPerThread * num_threads()), 1,
                               std::max<std::int64_t>(kTaskBytes / panel_bytes, 1));
  parallel_for(divide_up(panels.count(), run), [&](std::int64_t task, int) {
    const std::int64_t begin = task * run;
    const std::int64_t end = std::min(begin + run, panels.count());
    for (std::int64_t panel = begin; panel < end; ++panel) {
      pack_panel<T, kGroup>(buffer.as<T>() + panel * panel_elements, panels, panel, cols);
    }
    if (release) panels.release(begin, end, release);
  });
  return buffer;
}

Buffer pack_weight(const Panels& panels, std::int64_t cols, DType dtype, bool bfloat16_pairs,
                   const ReleaseBytes& release) {
  switch (dtype) {
    case DType::kFloat32: return pack<float, 1>(panels, cols, release);
    case DType::kFloat16: return pack<Float16, 1>(panels, cols, release);
    case DType::kBFloat16: break;
  }
  return bfloat16_pairs ? pack<BFloat16, 2>(panels, cols, release)
                        : pack<BFloat16, 1>(panels, cols, release);
}

/// A vector in a checkpoint as a matrix of one column.
WeightSource as_column(WeightSource source) {
  for (RowRange& range : source) {
    range.rows *= range.cols;
    range.cols = 1;
  }
  return source;
}

/// Packs the bias as a weight of one column; a missing one of two counts as zeros.
Buffer pack_bias(const std::vector<const WeightSource*>& biases, std::int64_t features,
                 int panel_columns) {
  const std::vector<float> zeros(features);
  const RowRange zero_range{reinterpret_cast<const std::byte*>(zeros.data()), DType::kFloat32,
                            features, 1};
  std::vector<WeightSource> columns;
  bool any = false;
  for (const WeightSource* bias : biases) {
    any = any || !bias->empty();
    columns.push_back(bias->empty() ? WeightSource{zero_range} : as_column(*bias));
  }
  if (!any) return Buffer();
  std::vector<Rows> rows;
  for (const WeightSource& column : columns) {
    rows.emplace_back(column, "bias");
    check(rows.back().count() == features, "bias: expected ", features, " elements, got ",
          rows.back().count());
  }
  std::vector<const Rows*> sources;
  for (const Rows& source : rows) sources.push_back(&source);
  return pack<float, 1>(Panels(sources, panel_columns), 1, {});
}

}  // namespace

Linear CpuBackend::prepare_linear(const WeightSource& weight, const WeightSource& bias, DType dtype,
                                  const ReleaseBytes& release) const {
  const Rows rows(weight, "weight");
  const int columns = kernels_.linear.panel_columns;
  Linear linear;
  linear.weight = pack_weight(Panels({&rows}, columns), rows.cols(), dtype,
                              kernels_.linear.bfloat16_pairs, release);
  linear.bias = pack_bias({&bias}, rows.count(), columns);
  linear.dtype = dtype;
  linear.in_features = rows.cols();
  linear.out_features = rows.count();
  return linear;
}

Linear CpuBackend::prepare_gated(const WeightSource& gate, const WeightSource& gate_bias,
                                 const WeightSource& up, const WeightSource& up_bias, DType dtype,
                                 const ReleaseBytes& release) const {
  const Rows gate_rows(gate, "gate");
  const Rows up_rows(up, "up");
  check(gate_rows.count() == up_rows.count() && gate_rows.cols() == up_rows.cols(),
        "gate and up: expected the same shape, got (", gate_rows.count(), ", ", gate_rows.cols(),
        ") and (", up_rows.count(), ", ", up_rows.cols(), ")");
  const int columns = kernels_.linear.panel_columns;
  Linear linear;
  linear.weight = pack_weight(Panels({&gate_rows, &up_rows}, columns), gate_rows.cols(), dtype,
                              kernels_.linear.bfloat16_pairs, release);
  linear.bias = pack_bias({&gate_bias, &up_bias}, gate_rows.count(), columns);
  linear.dtype = dtype;
  linear.in_features = gate_rows.cols();
  linear.out_features = gate_rows.count();
  return linear;
}

}  // namespace internvl::cpu
