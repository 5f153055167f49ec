// The CPU's backend with memory that the host cannot touch: addresses are moved to where no memory
// can be. It shows that model code leaves a backend's memory to the backend, and keeps the promise
// that replay() asks for.
#pragma once

#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"

namespace internvl::test {

class DetachedBackend final : public Backend {
 public:
  explicit DetachedBackend(std::shared_ptr<const Backend> cpu) : cpu_(std::move(cpu)) {}

  std::string_view name() const override { return "detached"; }
  DType activation_dtype(DType weights) const override { return cpu_->activation_dtype(weights); }
  Place place() const override { return Place::kDevice; }
  Buffer allocate(std::size_t bytes) const override;
  std::int64_t vision_workspace() const override { return cpu_->vision_workspace(); }
  std::int64_t prefill_rows() const override { return cpu_->prefill_rows(); }
  std::int64_t extension_rows() const override { return cpu_->extension_rows(); }

  /// Runs `body` each time, and throws InternalError if it did not call the same operations on the
  /// same memory as when `recording` was made.
  void replay(Recording& recording, const std::function<void()>& body) const override;

  Linear prepare_linear(const WeightSource& weight, const WeightSource& bias, DType dtype,
                        const ReleaseBytes& release) const override {
    return cpu_->prepare_linear(weight, bias, dtype, release);
  }
  Linear prepare_gated(const WeightSource& gate, const WeightSource& gate_bias,
                       const WeightSource& up, const WeightSource& up_bias, DType dtype,
                       const ReleaseBytes& release) const override {
    return cpu_->prepare_gated(gate, gate_bias, up, up_bias, dtype, release);
  }

  void copy(Tensor out, Tensor x) const override;
  void patchify(Tensor out, Tensor pixels, std::int64_t channels, std::int64_t height,
                std::int64_t width, std::int64_t patch) const override;
  void vision_embed(Tensor hidden, Tensor patches, Tensor class_embedding,
                    Tensor position) const override;
  void gather_rows(Tensor out, Tensor table, const std::vector<std::int32_t>& rows) const override;
  void norm(Tensor out, Tensor x, const Norm& norm) const override;
  void qk_norm(Tensor q, Tensor k, const Norm& q_norm, const Norm& k_norm) const override;
  void linear(Tensor out, Tensor x, const Linear& linear, Activation activation) const override;
  void linear_gated(Tensor out, Tensor x, const Linear& linear,
                    Activation activation) const override;
  void linear_add(Tensor residual, Tensor x, const Linear& linear, Tensor scale,
                  const NextNorm& next) const override;
  void attention(Tensor out, Tensor qkv, std::int64_t tokens, std::int64_t heads,
                 float scale) const override;
  void pixel_shuffle(Tensor out, Tensor x, std::int64_t side, std::int64_t factor,
                     bool transposed) const override;
  void pixel_shuffle_norm(Tensor out, Tensor x, std::int64_t side, std::int64_t factor,
                          bool transposed, const Norm& norm) const override;

  std::size_t kv_page_bytes(const KvShape& shape) const override {
    return cpu_->kv_page_bytes(shape);
  }
  void prepare_segments(Segments& segments) const override;
  void rope_store_kv(Tensor qkv, Tensor table, const KvShape& shape, std::int64_t heads,
                     std::int64_t layer, const Segments& segments) const override;
  void attention_cached(Tensor out, Tensor qkv, const KvShape& shape, std::int64_t heads,
                        std::int64_t layer, const Segments& segments) const override;

  bool can_choose(const TokenRule& rule, std::int64_t vocab_size) const override {
    return cpu_->can_choose(rule, vocab_size);
  }
  void prepare_choice(TokenInputs& inputs) const override { cpu_->prepare_choice(inputs); }
  TokenChoice choose(Tensor scores, const TokenRule& rule,
                     const TokenInputs& inputs) const override;

 private:
  /// The segments with the addresses of their pages as the CPU knows them.
  Segments attached(const Segments& segments) const;

  std::shared_ptr<const Backend> cpu_;
};

}  // namespace internvl::test
