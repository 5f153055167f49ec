// The one interface between the model and the machine: coarse, fused operations on matrices.
// Model code is written once against it. Outputs come first; operations never allocate memory
// that the caller can see, and every output row depends only on its own inputs, added up in an
// order fixed by the shapes of the weights: results are bit-identical whatever the batch, the
// chunking of rows and the number of threads.
//
// Tensors handed to operations lie in the backend's own memory, which need not be the host's; only
// copy() crosses over (backend/transfer.h says how the model's borders do it). Operations may run
// later than they are called, in order; copy() to the host and choose() wait for them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "backend/activation.h"
#include "core/matrix.h"
#include "core/token_choice.h"

namespace internvl {

/// Rows [row_begin, row_begin + rows) of a row-major (.., cols) matrix in a mapped checkpoint.
struct RowRange {
  const std::byte* data;  ///< of the first of these rows; any alignment
  DType dtype;
  std::int64_t rows;
  std::int64_t cols;
};

/// A weight of the model: row ranges of checkpoint tensors, one below the other.
using WeightSource = std::vector<RowRange>;

/// Called, from any thread, with bytes of a source that will not be read again, so that mapped
/// pages can be given back while loading.
using ReleaseBytes = std::function<void(const std::byte* data, std::size_t bytes)>;

/// y = x W^T + b, W of shape (out_features, in_features), prepared (packed) once by the backend
/// that reads it. Only that backend knows the layout of `weight`.
struct Linear {
  Buffer weight;
  Buffer bias;  ///< (out_features) float32, empty if there is none
  DType dtype = DType::kFloat32;
  std::int64_t in_features = 0;
  std::int64_t out_features = 0;
};

/// RMS or layer norm over the columns; vectors are float32.
struct Norm {
  enum class Kind : std::uint8_t { kRms, kLayer };
  Kind kind = Kind::kRms;
  float eps = 1e-5f;
  Buffer weight;
  Buffer bias;  ///< empty for RMS
};

/// The norm of rows that an operation has just changed; without `norm` there is none.
struct NextNorm {
  Tensor out;
  const Norm* norm = nullptr;
};

/// Where the keys and values of one sequence are: pages of kKvPageTokens tokens. A page holds all
/// layers and heads; inside it the backend chooses the layout.
constexpr std::int64_t kKvPageTokens = 128;

struct KvShape {
  std::int64_t layers;
  std::int64_t kv_heads;
  std::int64_t head_dim;
  DType dtype;  ///< the activation dtype
};

/// Consecutive rows of the activations that belong to one sequence.
struct Segment {
  std::int64_t row;   ///< first row in the activation matrices
  std::int64_t rows;  ///< number of rows
  std::int64_t past;  ///< keys in the cache before these rows
  std::byte* const* pages;
  bool stores;  ///< row i is stored as key past + i and sees keys [0, past + i];
                ///< otherwise all rows see exactly the keys [0, past)
  float scale;  ///< factor of the scores, normally 1 / sqrt(head_dim)
};

/// The segments of one pass, and what the backend's operations read of them. Only that backend
/// knows the layout of `table`.
struct Segments {
  std::vector<Segment> list;
  Buffer table;  ///< filled by prepare_segments()
};

/// What replay() has recorded. Only the backend that recorded knows what it is.
using Recording = std::shared_ptr<void>;

class Backend {
 public:
  virtual ~Backend() = default;

  /// "cpu/avx512bf16", ...
  virtual std::string_view name() const = 0;

  /// dtype of the activations that linear() reads beside weights of this dtype.
  virtual DType activation_dtype(DType weights) const = 0;

  /// Where the memory that operations read and write lies.
  virtual Place place() const = 0;

  /// Uninitialised memory for operations. A buffer may go while operations on it still run.
  virtual Buffer allocate(std::size_t bytes) const = 0;

  /// allocate() for a contiguous matrix.
  Matrix matrix(DType dtype, std::int64_t rows, std::int64_t cols) const {
    return {allocate(static_cast<std::size_t>(rows * cols) * size_of(dtype)), dtype, rows, cols};
  }

  /// Bytes that the activations of one pass of the vision transformer may take.
  virtual std::int64_t vision_workspace() const = 0;

  /// Rows of one pass of the decoder over a prompt: enough to keep the multiplications busy, few
  /// enough to bound memory.
  virtual std::int64_t prefill_rows() const = 0;

  /// Rows of one pass of the decoder that have the same bits as in passes of their own.
  virtual std::int64_t extension_rows() const = 0;

  /// Runs `body`, which calls operations. A backend may record what they do and from then on do
  /// just that instead of running `body`: as long as the caller keeps `recording`, a body must call
  /// the same operations on the same memory, whose contents alone may change.
  virtual void replay(Recording& recording, const std::function<void()>& body) const = 0;

  // ---- preparing weights (once, in parallel)

  /// `bias` may be empty. Conversion from the checkpoint's dtype rounds to nearest even.
  virtual Linear prepare_linear(const WeightSource& weight, const WeightSource& bias, DType dtype,
                                const ReleaseBytes& release) const = 0;

  /// For linear_gated: rows of `gate` and `up` interleaved as the kernel likes.
  /// out_features is that of one of the two.
  virtual Linear prepare_gated(const WeightSource& gate, const WeightSource& gate_bias,
                               const WeightSource& up, const WeightSource& up_bias, DType dtype,
                               const ReleaseBytes& release) const = 0;

  // ---- operations; `out` may have dtype float32 or the activation dtype unless said otherwise

  /// out(r, c) = x(r, c), converted between any two dtypes. Of one dtype, either may lie in the
  /// host's memory: `x` may change on return, and `out` is complete.
  virtual void copy(Tensor out, Tensor x) const = 0;

  /// Cuts tiles into patches: out(tile * n + p, (channel, y, x)) from pixels(tile, (channel, Y,
  /// X)), n = (height / patch) * (width / patch), row-major; rows and columns that do not fill a
  /// patch are left out, as a convolution of that stride leaves them out. Columns of `out` beyond
  /// channels * patch^2 are set to zero.
  virtual void patchify(Tensor out, Tensor pixels, std::int64_t channels, std::int64_t height,
                        std::int64_t width, std::int64_t patch) const = 0;

  /// hidden(tile * tokens + 0) = class_embedding + position(0);
  /// hidden(tile * tokens + t) = patches(tile * (tokens - 1) + t - 1) + position(t). All float32.
  virtual void vision_embed(Tensor hidden, Tensor patches, Tensor class_embedding,
                            Tensor position) const = 0;

  /// out(r) = table(rows[r]), converted between any two dtypes; a row of `out` stays as it is where
  /// rows[r] is negative.
  virtual void gather_rows(Tensor out, Tensor table,
                           const std::vector<std::int32_t>& rows) const = 0;

  /// out = norm(x) over all columns of x; `x` float32 or the activation dtype; `out` may be `x`.
  virtual void norm(Tensor out, Tensor x, const Norm& norm) const = 0;

  /// q = q_norm(q), k = k_norm(k), each over all heads together; both of one shape and dtype.
  virtual void qk_norm(Tensor q, Tensor k, const Norm& q_norm, const Norm& k_norm) const = 0;

  /// out = activation(x W^T + b); x has the activation dtype.
  virtual void linear(Tensor out, Tensor x, const Linear& linear,
                      Activation activation = Activation::kNone) const = 0;

  /// out = activation(x W_gate^T) * (x W_up^T), biases included.
  virtual void linear_gated(Tensor out, Tensor x, const Linear& linear,
                            Activation activation) const = 0;

  /// residual += scale * (x W^T + b), then next.out = next.norm(residual); `residual` is float32,
  /// scale is (1, out_features) float32 or has no data; next.out may be x.
  virtual void linear_add(Tensor residual, Tensor x, const Linear& linear, Tensor scale = {},
                          const NextNorm& next = {}) const = 0;

  /// Full attention inside each group of `tokens` rows. qkv(r) = [q | k | v], each heads *
  /// head_dim; out is (rows, heads * head_dim) in the activation dtype.
  virtual void attention(Tensor out, Tensor qkv, std::int64_t tokens, std::int64_t heads,
                         float scale) const = 0;

  /// Space pixel shuffle by `factor` (2 for downsample_ratio 0.5) of a (side x side) grid of rows,
  /// the class token in front of each tile's grid skipped:
  /// out(tile * n + i * (side / factor) + j, (dy, dx, c)) = x(tile * (side^2 + 1) + 1 + grid row,
  /// c), the grid row at (i * factor + dy, j * factor + dx), or, `transposed` (ps_version v1), with
  /// i and j exchanged on the output side.
  virtual void pixel_shuffle(Tensor out, Tensor x, std::int64_t side, std::int64_t factor,
                             bool transposed) const = 0;

  /// out = norm(pixel_shuffle(x)); x is float32.
  virtual void pixel_shuffle_norm(Tensor out, Tensor x, std::int64_t side, std::int64_t factor,
                                  bool transposed, const Norm& norm) const = 0;

  // ---- keys and values

  virtual std::size_t kv_page_bytes(const KvShape& shape) const = 0;

  /// Fills segments.table from segments.list, in place if it is large enough.
  virtual void prepare_segments(Segments& segments) const = 0;

  /// Rotates q and k in place (half-split pairs; table(r) = [cos(head_dim / 2) | sin(head_dim / 2)]
  /// float32) and stores k and v of the segments that store. qkv(r) = [q | k | v] with
  /// heads, kv_heads and kv_heads times head_dim columns.
  virtual void rope_store_kv(Tensor qkv, Tensor table, const KvShape& shape, std::int64_t heads,
                             std::int64_t layer, const Segments& segments) const = 0;

  /// Causal attention of the q part of qkv over the cached keys; query head h reads key-value head
  /// h / (heads / kv_heads). out is (rows, heads * head_dim) in the activation dtype.
  virtual void attention_cached(Tensor out, Tensor qkv, const KvShape& shape, std::int64_t heads,
                                std::int64_t layer, const Segments& segments) const = 0;

  // ---- tokens

  /// Whether choose() follows a rule on scores of `vocab_size` columns. Every backend follows
  /// those that are argmax alone.
  virtual bool can_choose(const TokenRule& rule, std::int64_t vocab_size) const = 0;

  /// Fills inputs.table from the rest. Before the scores are computed, so that choose() need not
  /// wait for anything to arrive.
  virtual void prepare_choice(TokenInputs& inputs) const = 0;

  /// The token of each row of the float32 scores: of the largest ones the first, and a NaN is
  /// larger than everything; or what the inputs' uniform numbers draw; or candidates.
  virtual TokenChoice choose(Tensor scores, const TokenRule& rule,
                             const TokenInputs& inputs) const = 0;
};

/// The backend of the best instruction set that this CPU has, or of the one named by `isa`:
/// "generic", "avx2", "avx512", "avx512bf16". Throws InvalidArgument for an unknown name and for
/// one that the CPU lacks.
std::shared_ptr<Backend> make_cpu_backend(std::string_view isa = {});

/// What this CPU can run, best last.
std::vector<std::string_view> cpu_isas();

}  // namespace internvl
