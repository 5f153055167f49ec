// The CPU backend: it cuts operations into tasks for parallel_for and runs the kernels of one
// instruction set on them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/kernels.h"

namespace internvl::cpu {

inline std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const Kernels& kernels);

  std::string_view name() const override { return name_; }
  DType activation_dtype(DType weights) const override;
  Place place() const override { return Place::kHost; }
  Buffer allocate(std::size_t bytes) const override { return Buffer(bytes); }
  /// What stays in an L3 cache: a tile of the 2B model.
  std::int64_t vision_workspace() const override { return std::int64_t{24} << 20; }
  std::int64_t prefill_rows() const override { return 512; }
  std::int64_t extension_rows() const override { return prefill_rows(); }
  void replay(Recording& recording, const std::function<void()>& body) const override;

  // cpu_weights.cpp
  Linear prepare_linear(const WeightSource& weight, const WeightSource& bias, DType dtype,
                        const ReleaseBytes& release) const override;
  Linear prepare_gated(const WeightSource& gate, const WeightSource& gate_bias,
                       const WeightSource& up, const WeightSource& up_bias, DType dtype,
                       const ReleaseBytes& release) const override;

  // cpu_linear.cpp
  void linear(Tensor out, Tensor x, const Linear& linear, Activation activation) const override;
  void linear_gated(Tensor out, Tensor x, const Linear& linear,
                    Activation activation) const override;
  void linear_add(Tensor residual, Tensor x, const Linear& linear, Tensor scale,
                  const NextNorm& next) const override;

  // cpu_rows.cpp
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
  bool can_choose(const TokenRule& rule, std::int64_t) const override { return rule.is_argmax(); }
  void prepare_choice(TokenInputs&) const override {}
  TokenChoice choose(Tensor scores, const TokenRule& rule,
                     const TokenInputs& inputs) const override;

  // cpu_attention.cpp
  void attention(Tensor out, Tensor qkv, std::int64_t tokens, std::int64_t heads,
                 float scale) const override;
  std::size_t kv_page_bytes(const KvShape& shape) const override;
  void prepare_segments(Segments& segments) const override;
  void rope_store_kv(Tensor qkv, Tensor table, const KvShape& shape, std::int64_t heads,
                     std::int64_t layer, const Segments& segments) const override;
  void attention_cached(Tensor out, Tensor qkv, const KvShape& shape, std::int64_t heads,
                        std::int64_t layer, const Segments& segments) const override;

 private:
  void run_linear(Tensor out, Tensor x, const Linear& linear, Epilogue epilogue,
                  Activation activation, const float* scale) const;

  const Kernels& kernels_;
  std::string name_;
};

/// Memory of the calling thread for one task, 64-byte aligned: it is kept, so that operations do
/// not allocate, and its contents are undefined at every call.
std::byte* thread_scratch(std::size_t bytes);

}  // namespace internvl::cpu
