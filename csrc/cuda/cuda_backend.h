// The CUDA backend: matrix products by cuBLASLt, everything else by the kernels beside it. All work
// of a backend is queued on the one stream of its device.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "cuda/full_attention.h"
#include "cuda/kernels/kernels.h"
#include "cuda/matmul.h"

namespace internvl::cuda {

/// Rows of a sequence up to which attention is that of a decoding step.
constexpr std::int64_t kStepRows = 8;

/// What the kernels read of a norm.
inline NormWeights weights_of(const Norm& norm) {
  const float* bias = norm.bias.bytes() == 0 ? nullptr : norm.bias.as<float>();
  return {norm.weight.as<float>(), bias, norm.eps, norm.kind == Norm::Kind::kLayer};
}

class CudaBackend final : public Backend {
 public:
  /// Weights and activations may take `budget` bytes together; 0 for all that the GPU has. For
  /// `attention` and `log` see FullAttention.
  CudaBackend(int device, const std::vector<std::string>& library_folders, std::size_t budget,
              const std::string& attention, Log log);

  /// What the calling thread queues its work on.
  Stream stream() const { return device_->stream(); }

  /// Waits for all work queued so far.
  void synchronize() const { device_->synchronize(); }

  std::string_view name() const override { return name_; }
  DType activation_dtype(DType weights) const override { return weights; }
  Place place() const override { return Place::kDevice; }
  Buffer allocate(std::size_t bytes) const override { return device_->allocate(bytes); }
  std::int64_t vision_workspace() const override;
  std::int64_t prefill_rows() const override { return 2048; }
  std::int64_t extension_rows() const override { return kStepRows; }
  void replay(Recording& recording, const std::function<void()>& body) const override;

  // cuda_linear.cpp
  Linear prepare_linear(const WeightSource& weight, const WeightSource& bias, DType dtype,
                        const ReleaseBytes& release) const override;
  Linear prepare_gated(const WeightSource& gate, const WeightSource& gate_bias,
                       const WeightSource& up, const WeightSource& up_bias, DType dtype,
                       const ReleaseBytes& release) const override;
  void linear(Tensor out, Tensor x, const Linear& linear, Activation activation) const override;
  void linear_gated(Tensor out, Tensor x, const Linear& linear,
                    Activation activation) const override;
  void linear_add(Tensor residual, Tensor x, const Linear& linear, Tensor scale,
                  const NextNorm& next) const override;

  // cuda_rows.cpp
  void copy(Tensor out, Tensor x) const override;
  void patchify(Tensor out, Tensor pixels, std::int64_t channels, std::int64_t height,
                std::int64_t width, std::int64_t patch) const override;
  void vision_embed(Tensor hidden, Tensor patches, Tensor class_embedding,
                    Tensor position) const override;
  void gather_rows(Tensor out, Tensor table, const std::vector<std::int32_t>& rows) const override;
  void norm(Tensor out, Tensor x, const Norm& norm) const override;
  void qk_norm(Tensor q, Tensor k, const Norm& q_norm, const Norm& k_norm) const override;
  void pixel_shuffle(Tensor out, Tensor x, std::int64_t side, std::int64_t factor,
                     bool transposed) const override;
  void pixel_shuffle_norm(Tensor out, Tensor x, std::int64_t side, std::int64_t factor,
                          bool transposed, const Norm& norm) const override;

  // cuda_attention.cpp
  void attention(Tensor out, Tensor qkv, std::int64_t tokens, std::int64_t heads,
                 float scale) const override;
  std::size_t kv_page_bytes(const KvShape& shape) const override;
  void prepare_segments(Segments& segments) const override;
  void rope_store_kv(Tensor qkv, Tensor table, const KvShape& shape, std::int64_t heads,
                     std::int64_t layer, const Segments& segments) const override;
  void attention_cached(Tensor out, Tensor qkv, const KvShape& shape, std::int64_t heads,
                        std::int64_t layer, const Segments& segments) const override;

  // cuda_tokens.cpp
  bool can_choose(const TokenRule& rule, std::int64_t vocab_size) const override;
  void prepare_choice(TokenInputs& inputs) const override;
  TokenChoice choose(Tensor scores, const TokenRule& rule,
                     const TokenInputs& inputs) const override;

 private:
  /// What happens to scores before the choice.
  void process(Tensor scores, const TokenRule& rule, const TokenInputs& inputs) const;

  std::shared_ptr<Device> device_;
  std::unique_ptr<Matmul> matmul_;
  std::unique_ptr<FullAttention> full_attention_;  // after cuBLASLt, which cuDNN looks for
  std::string name_;
};

}  // namespace internvl::cuda
