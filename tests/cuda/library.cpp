// The launchers and device memory for ctypes (device.py).
#include "library.h"

#include <exception>
#include <string>

#include "cuda/kernels/kernels.h"
#include "device_memory.h"

using internvl::Tensor;
using internvl::cuda::KvView;
using internvl::cuda::NormWeights;
using internvl::cuda::Sampling;
using internvl::cuda::TokenRows;
using internvl::cuda::test::guarded;
namespace cuda = internvl::cuda;
namespace test = internvl::cuda::test;

const char* internvl::cuda::test::guarded(const std::function<void()>& body) {
  static std::string error;
  try {
    body();
    finish();
    return nullptr;
  } catch (const std::exception& exception) {
    error = exception.what();
    return error.c_str();
  }
}

extern "C" {

void* device_new(const char* name, std::size_t bytes) { return test::new_buffer(name, bytes); }
void device_delete(void* buffer) { test::delete_buffer(buffer); }
void* device_address(void* buffer) { return test::address_of(buffer); }
void device_upload(void* buffer, const void* from) { test::upload(buffer, from); }
void device_download(void* to, void* buffer) { test::download(to, buffer); }
void device_seed(std::uint32_t seed) { test::set_seed(seed); }
std::uint64_t device_bank_conflicts() { return test::bank_conflicts(); }

const char* norm(const Tensor* out, const Tensor* x, const NormWeights* weights) {
  return guarded([&] { cuda::norm(nullptr, *out, *x, *weights); });
}

const char* qk_norm(const Tensor* q, const Tensor* k, const NormWeights* q_weights,
                    const NormWeights* k_weights) {
  return guarded([&] { cuda::qk_norm(nullptr, *q, *k, *q_weights, *k_weights); });
}

const char* add_norm(const Tensor* out, const Tensor* residual, const Tensor* branch,
                     const float* bias, const float* scale, const NormWeights* weights) {
  return guarded([&] { cuda::add_norm(nullptr, *out, *residual, *branch, bias, scale, *weights); });
}

const char* pixel_shuffle_norm(const Tensor* out, const Tensor* x, std::int64_t side,
                               std::int64_t factor, bool transposed, const NormWeights* weights) {
  return guarded(
      [&] { cuda::pixel_shuffle_norm(nullptr, *out, *x, side, factor, transposed, *weights); });
}

const char* patchify(const Tensor* out, const Tensor* pixels, std::int64_t channels,
                     std::int64_t height, std::int64_t width, std::int64_t patch) {
  return guarded([&] { cuda::patchify(nullptr, *out, *pixels, channels, height, width, patch); });
}

const char* vision_embed(const Tensor* hidden, const Tensor* patches, const Tensor* class_embedding,
                         const Tensor* position) {
  return guarded(
      [&] { cuda::vision_embed(nullptr, *hidden, *patches, *class_embedding, *position); });
}

const char* gather_rows(const Tensor* out, const Tensor* table, const std::int32_t* rows) {
  return guarded([&] { cuda::gather_rows(nullptr, *out, *table, rows); });
}

const char* pixel_shuffle(const Tensor* out, const Tensor* x, std::int64_t side,
                          std::int64_t factor, bool transposed) {
  return guarded([&] { cuda::pixel_shuffle(nullptr, *out, *x, side, factor, transposed); });
}

const char* bias_activation(const Tensor* out, const Tensor* x, const float* bias,
                            std::int64_t activation) {
  return guarded([&] {
    cuda::bias_activation(nullptr, *out, *x, bias, static_cast<internvl::Activation>(activation));
  });
}

const char* gated_activation(const Tensor* out, const Tensor* x, const float* bias,
                             std::int64_t activation) {
  return guarded([&] {
    cuda::gated_activation(nullptr, *out, *x, bias, static_cast<internvl::Activation>(activation));
  });
}

const char* add_scaled(const Tensor* residual, const Tensor* branch, const float* bias,
                       const float* scale) {
  return guarded([&] { cuda::add_scaled(nullptr, *residual, *branch, bias, scale); });
}

const char* rope_store_kv(const Tensor* qkv, const Tensor* table, std::int64_t heads,
                          const KvView* view) {
  return guarded([&] { cuda::rope_store_kv(nullptr, *qkv, *table, heads, *view); });
}

const char* attention(const Tensor* out, const Tensor* qkv, std::int64_t tokens, std::int64_t heads,
                      float scale) {
  return guarded([&] { cuda::attention(nullptr, *out, *qkv, tokens, heads, scale); });
}

const char* attention_prompt(const Tensor* out, const Tensor* qkv, std::int64_t heads,
                             const KvView* view) {
  return guarded([&] { cuda::attention_prompt(nullptr, *out, *qkv, heads, *view); });
}

const char* attention_decode(const Tensor* out, const Tensor* qkv, std::int64_t heads,
                             const KvView* view, float* workspace) {
  return guarded([&] { cuda::attention_decode(nullptr, *out, *qkv, heads, *view, workspace); });
}

std::int64_t attention_workspace_bytes(std::int64_t rows, std::int64_t heads, const KvView* view) {
  return static_cast<std::int64_t>(cuda::attention_workspace_bytes(rows, heads, *view));
}

const char* gemv(const Tensor* out, const Tensor* x, const Tensor* weight, const float* bias,
                 std::int64_t activation) {
  return guarded([&] {
    cuda::gemv(nullptr, *out, *x, *weight, bias, static_cast<internvl::Activation>(activation));
  });
}

const char* gemv_add(const Tensor* residual, const Tensor* x, const Tensor* weight,
                     const float* bias, const float* scale) {
  return guarded([&] { cuda::gemv_add(nullptr, *residual, *x, *weight, bias, scale); });
}

const char* gemv_gated(const Tensor* out, const Tensor* x, const Tensor* weight, const float* bias,
                       std::int64_t activation) {
  return guarded([&] {
    cuda::gemv_gated(nullptr, *out, *x, *weight, bias,
                     static_cast<internvl::Activation>(activation));
  });
}

const char* argmax(std::int32_t* tokens, const Tensor* scores) {
  return guarded([&] { cuda::argmax(nullptr, tokens, *scores); });
}

const char* repetition_penalty(const Tensor* scores, const TokenRows* sequences, float penalty) {
  return guarded([&] { cuda::repetition_penalty(nullptr, *scores, *sequences, penalty); });
}

const char* no_repeat_ngram(const Tensor* scores, const TokenRows* sequences, std::int64_t length) {
  return guarded([&] { cuda::no_repeat_ngram(nullptr, *scores, *sequences, length); });
}

const char* suppress(const Tensor* scores, const std::int32_t* tokens, std::int64_t count) {
  return guarded([&] { cuda::suppress(nullptr, *scores, tokens, count); });
}

const char* log_softmax(const Tensor* scores) {
  return guarded([&] { cuda::log_softmax(nullptr, *scores); });
}

const char* log_probability(float* out, const std::int32_t* tokens, std::int64_t beams,
                            std::int64_t count, const Tensor* scores) {
  return guarded([&] { cuda::log_probability(nullptr, out, {tokens, beams, count}, *scores); });
}

const char* sample(std::int32_t* tokens, const double* uniforms, const Tensor* scores,
                   const Sampling* sampling) {
  return guarded([&] { cuda::sample(nullptr, tokens, uniforms, *scores, *sampling); });
}

const char* beam_candidates(std::int32_t* indices, float* values, const Tensor* scores,
                            const float* beam_scores, std::int64_t beams, std::int64_t count,
                            void* workspace) {
  return guarded([&] {
    cuda::beam_candidates(nullptr, indices, values, *scores, beam_scores, beams, count, workspace);
  });
}

std::int64_t beam_workspace_bytes(std::int64_t rows, std::int64_t count) {
  return static_cast<std::int64_t>(cuda::beam_workspace_bytes(rows, count));
}
}
