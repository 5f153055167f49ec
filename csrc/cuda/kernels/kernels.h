// Launchers of the handwritten kernels. Tensors and pointers are device memory; every call only
// queues work on the stream. A row of a result depends on its own inputs alone, bit for bit.
// Operations and rounding are those of backend/backend.h: float32 inside, rounded once on storing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/activation.h"
#include "core/tensor.h"
#include "cuda/kernels/stream.h"

namespace internvl::cuda {

/// The vectors of a Norm (backend/backend.h).
struct NormWeights {
  const float* weight;
  const float* bias;  ///< null for RMS
  float eps;
  bool centered;  ///< layer norm
};

/// out = norm(x); `out` may be `x`. At most 16384 columns.
void norm(Stream stream, Tensor out, Tensor x, const NormWeights& weights);

/// q = norm(q), k = norm(k) over all heads together, both column ranges of one matrix.
void qk_norm(Stream stream, Tensor q, Tensor k, const NormWeights& q_weights,
             const NormWeights& k_weights);

/// residual += scale * (branch + bias), out = norm(residual). `residual` is float32; `bias` and
/// `scale` are (cols) float32 or null.
void add_norm(Stream stream, Tensor out, Tensor residual, Tensor branch, const float* bias,
              const float* scale, const NormWeights& weights);

/// out = norm(pixel_shuffle(x)); x is float32.
void pixel_shuffle_norm(Stream stream, Tensor out, Tensor x, std::int64_t side, std::int64_t factor,
                        bool transposed, const NormWeights& weights);

// ---- moving rows

/// As Backend::patchify; columns of `out` beyond channels * patch^2 become zero.
void patchify(Stream stream, Tensor out, Tensor pixels, std::int64_t channels, std::int64_t height,
              std::int64_t width, std::int64_t patch);

/// As Backend::vision_embed; `patches` may have any dtype, the others are float32.
void vision_embed(Stream stream, Tensor hidden, Tensor patches, Tensor class_embedding,
                  Tensor position);

/// As Backend::gather_rows, `rows` on the device; null stands for all rows of the table in order:
/// a conversion.
void gather_rows(Stream stream, Tensor out, Tensor table, const std::int32_t* rows);

/// As Backend::pixel_shuffle.
void pixel_shuffle(Stream stream, Tensor out, Tensor x, std::int64_t side, std::int64_t factor,
                   bool transposed);

// ---- activations, for what comes out of a library's matrix product

/// out = activation(x + bias); `out` may be `x`; `bias` is (cols) float32 or null.
void bias_activation(Stream stream, Tensor out, Tensor x, const float* bias, Activation activation);

/// out = activation(gate + gate_bias) * (up + up_bias) with x = [gate | up] and bias =
/// [gate_bias | up_bias] float32 or null.
void gated_activation(Stream stream, Tensor out, Tensor x, const float* bias,
                      Activation activation);

/// residual += scale * (branch + bias), as add_norm() does without its norm.
void add_scaled(Stream stream, Tensor residual, Tensor branch, const float* bias,
                const float* scale);

// ---- keys, values and attention

constexpr int kPageTokens = 128;  ///< kKvPageTokens of backend/backend.h

/// A Segment of backend/backend.h in device memory, so that a recorded graph sees its changes.
struct DeviceSegment {
  std::int32_t row;         ///< first row in the activation matrices
  std::int32_t rows;        ///< number of rows
  std::int32_t past;        ///< keys in the cache before these rows
  std::int32_t first_page;  ///< in KvView::pages
  std::int32_t stores;      ///< not 0: row i is stored as key past + i and sees keys [0, past + i];
                            ///< 0: all rows see exactly the keys [0, past)
  float scale;              ///< factor of the scores
};

/// The keys and values of a layer. Pages are those of all segments, one segment after the other,
/// each kv_page_bytes() at a multiple of 16 bytes.
struct KvView {
  std::byte* const* pages;        ///< on the device
  const DeviceSegment* segments;  ///< on the device
  std::int64_t segment_count;
  std::int64_t rows;  ///< of the longest segment, at most: what the launch is sized for
  std::int64_t keys;  ///< that any row sees, at most
  std::int64_t layer;
  std::int64_t kv_heads;
  std::int64_t head_dim;
};

std::size_t kv_page_bytes(std::int64_t layers, std::int64_t kv_heads, std::int64_t head_dim,
                          DType dtype);

/// As Backend::rope_store_kv; table(r) = [cos | sin] float32 of row r.
void rope_store_kv(Stream stream, Tensor qkv, Tensor table, std::int64_t heads, const KvView& view);

/// As Backend::attention.
void attention(Stream stream, Tensor out, Tensor qkv, std::int64_t tokens, std::int64_t heads,
               float scale);

/// As Backend::attention_cached, with a block for many query rows: for prompts.
void attention_prompt(Stream stream, Tensor out, Tensor qkv, std::int64_t heads,
                      const KvView& view);

/// The same for few rows: the keys are split in parts of a fixed size among blocks. `workspace` has
/// attention_workspace_bytes() of any content.
void attention_decode(Stream stream, Tensor out, Tensor qkv, std::int64_t heads, const KvView& view,
                      float* workspace);

std::size_t attention_workspace_bytes(std::int64_t rows, std::int64_t heads, const KvView& view);

// ---- products of a few rows; x and the weight (features, depth) have one dtype

constexpr int kFewRows = 64;  ///< at most

/// out = activation(x W^T + bias); `out` is float32 or has the dtype of x.
void gemv(Stream stream, Tensor out, Tensor x, Tensor weight, const float* bias,
          Activation activation);

/// residual += scale * (x W^T + bias); `residual` is float32, `scale` (features) float32 or null.
void gemv_add(Stream stream, Tensor residual, Tensor x, Tensor weight, const float* bias,
              const float* scale);

/// out = activation(x W_gate^T + bias) * (x W_up^T + bias), W = [W_gate; W_up].
void gemv_gated(Stream stream, Tensor out, Tensor x, Tensor weight, const float* bias,
                Activation activation);

// ---- from scores (rows, vocabulary), float32, to tokens; the rules are those of csrc/generation,
// whose sums are float64: here they are integers, in any order the same.

constexpr int kMostScores = 1 << 18;  ///< a vocabulary has fewer tokens

/// tokens[r] = the first index of the largest score of row r; NaN is the largest.
void argmax(Stream stream, std::int32_t* tokens, Tensor scores);

/// What the rows have so far: tokens[r * stride ...], lengths[r] of them; on the device.
struct TokenRows {
  const std::int32_t* tokens;
  std::int64_t stride;
  const std::int32_t* lengths;
};

/// Penalises each token of a row's sequence once.
void repetition_penalty(Stream stream, Tensor scores, const TokenRows& sequences, float penalty);

/// Removes the tokens with which a row would have the same `size` tokens in a row again.
void no_repeat_ngram(Stream stream, Tensor scores, const TokenRows& sequences, std::int64_t size);

/// Removes `count` different tokens from all rows.
void suppress(Stream stream, Tensor scores, const std::int32_t* tokens, std::int64_t count);

/// In place; a row with NaN or +infinity, or nothing above -infinity, becomes NaN.
void log_softmax(Stream stream, Tensor scores);

/// What is chosen from scores for every `beams` rows: beam * vocabulary + token, `count` of them.
struct ChosenTokens {
  const std::int32_t* tokens;  ///< on the device
  std::int64_t beams = 1;
  std::int64_t count = 1;
};

/// The log-probability of each chosen token in its row; NaN where log_softmax() gives that, and for
/// tokens below 0.
void log_probability(Stream stream, float* out, const ChosenTokens& chosen, Tensor scores);

/// The warpers, in this order.
struct Sampling {
  float temperature = 1.0f;
  std::int64_t top_k = 0;  ///< 0: all
  double top_p = 1.0;
  std::int64_t min_tokens = 1;  ///< that stay
};

/// tokens[r] = what Sampler::sample draws from row r with the uniform number uniforms[r]; -1 where
/// probabilities are not finite. Does not change the scores.
void sample(Stream stream, std::int32_t* tokens, const double* uniforms, Tensor scores,
            const Sampling& sampling);

constexpr int kMostCandidates = 1024;

/// For each prompt, `beams` consecutive rows: the `count` best beam_scores[row] + scores(row,
/// token), at most kMostCandidates, into values(prompt, count) and, as beam * vocabulary + token,
/// indices(prompt, count), best first. Of equal ones the lower index comes first, where
/// csrc/generation has the order of torch.topk: who wants that asks for one more, and leaves the
/// choice to the host if two are equal. `workspace` has beam_workspace_bytes() of any content.
void beam_candidates(Stream stream, std::int32_t* indices, float* values, Tensor scores,
                     const float* beam_scores, std::int64_t beams, std::int64_t count,
                     void* workspace);

std::size_t beam_workspace_bytes(std::int64_t rows, std::int64_t count);

}  // namespace internvl::cuda
