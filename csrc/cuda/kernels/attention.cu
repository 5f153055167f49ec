// Choosing and launching an attention kernel.
#include <algorithm>

#include "core/error.h"
#include "cuda/kernels/attention_mma.cuh"
#include "cuda/kernels/attention_plain.cuh"

namespace internvl::cuda {
namespace {

constexpr int kPromptWarps = 4;

bool is_aligned(const void* data, std::int64_t stride) {
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && stride % kChunk == 0;
}

/// `rows`: query rows (tokens * group) of the longest sequence.
struct Extent {
  std::int64_t rows;
  std::int64_t sequences;
};

Grid grid_of(const AttentionArguments& args, const Extent& extent, std::int64_t tile) {
  const std::int64_t z = extent.sequences * args.splits;
  check(z <= 65535, "attention: expected at most 65535 sequences and parts of them, got ", z);
  return {static_cast<unsigned>(divide_up(extent.rows, tile)),
          static_cast<unsigned>(args.kv.kv_heads), static_cast<unsigned>(z)};
}

template <class T, int kHeadDim, int kWarps, bool kSplit>
void run_mma(Stream stream, const AttentionArguments& args, const Extent& extent) {
  launch(mma_attention_kernel<T, kHeadDim, kWarps, kSplit>,
         grid_of(args, extent, kWarps * kWarpRows), kWarps * kWarp,
         mma_shared_bytes<kHeadDim, kWarps>(), stream, args);
}

template <class T, int kColumns>
void run_plain(Stream stream, const AttentionArguments& args, const Extent& extent) {
  const Grid grid = grid_of(args, extent, kPlainWarps * kPlainRows);
  const std::size_t bytes = plain_shared_bytes(args.kv.head_dim);
  const auto kernel = args.partial != nullptr ? plain_attention_kernel<T, kColumns, true>
                                              : plain_attention_kernel<T, kColumns, false>;
  launch(kernel, grid, kPlainWarps * kWarp, bytes, stream, args);
}

template <class T>
void run_attention(Stream stream, const AttentionArguments& args, const Extent& extent) {
  const int head_dim = args.kv.head_dim;
  if constexpr (sizeof(T) == 2) {
    const bool aligned = is_aligned(args.q, args.stride) && is_aligned(args.out, args.out_stride) &&
                         is_aligned(args.k, 0) && is_aligned(args.v, 0);
    const bool split = args.partial != nullptr;
    if (aligned && head_dim == 64) {
      return split ? run_mma<T, 64, 1, true>(stream, args, extent)
                   : run_mma<T, 64, kPromptWarps, false>(stream, args, extent);
    }
    if (aligned && head_dim == 128) {
      return split ? run_mma<T, 128, 1, true>(stream, args, extent)
                   : run_mma<T, 128, kPromptWarps, false>(stream, args, extent);
    }
  }
  if (head_dim <= 32) return run_plain<T, 1>(stream, args, extent);
  if (head_dim <= 64) return run_plain<T, 2>(stream, args, extent);
  if (head_dim <= 128) return run_plain<T, 4>(stream, args, extent);
  run_plain<T, kMaxHeadDim / kWarp>(stream, args, extent);
}

void check_attention(const Tensor& out, const Tensor& qkv, std::int64_t heads,
                     std::int64_t kv_heads, std::int64_t head_dim) {
  check(kv_heads >= 1 && heads >= 1 && heads % kv_heads == 0,
        "attention: expected heads in equal groups, got ", heads, " heads for ", kv_heads,
        " key-value heads");
  check(head_dim >= 1 && head_dim <= kMaxHeadDim, "attention: expected a head size of 1 to ",
        kMaxHeadDim, ", got ", head_dim);
  const std::int64_t cols = (heads + 2 * kv_heads) * head_dim;
  check(qkv.cols == cols, "attention: qkv: expected ", cols, " columns, got ", qkv.cols);
  check(out.dtype == qkv.dtype && out.rows == qkv.rows && out.cols == heads * head_dim,
        "attention: out: expected ", name_of(qkv.dtype), " of shape (", qkv.rows, ", ",
        heads * head_dim, "), got ", name_of(out.dtype), " (", out.rows, ", ", out.cols, ")");
}

std::int64_t splits_of(const KvView& view) {
  return std::max<std::int64_t>(1, divide_up(view.keys, kSplitKeys));
}

AttentionArguments cached_arguments(const Tensor& out, const Tensor& qkv, std::int64_t heads,
                                    const KvView& view) {
  check_attention(out, qkv, heads, view.kv_heads, view.head_dim);
  return {out.data,
          qkv.data,
          nullptr,
          nullptr,
          out.stride,
          qkv.stride,
          kv_pages(view),
          static_cast<int>(heads / view.kv_heads),
          0,
          0.0f,
          1,
          nullptr};
}

}  // namespace

void attention(Stream stream, Tensor out, Tensor qkv, std::int64_t tokens, std::int64_t heads,
               float scale) {
  check(heads >= 1 && qkv.cols % (3 * heads) == 0, "attention: qkv: expected a multiple of ",
        3 * heads, " columns, got ", qkv.cols);
  const std::int64_t head_dim = qkv.cols / (3 * heads);
  check_attention(out, qkv, heads, heads, head_dim);
  check(tokens >= 1 && qkv.rows % tokens == 0, "attention: qkv: expected a multiple of ", tokens,
        " rows, got ", qkv.rows);
  if (qkv.rows == 0) return;
  AttentionArguments args{};
  args.out = out.data;
  args.q = qkv.data;
  args.k = qkv.slice_cols(heads * head_dim, heads * head_dim).data;
  args.v = qkv.slice_cols(2 * heads * head_dim, heads * head_dim).data;
  args.out_stride = out.stride;
  args.stride = qkv.stride;
  args.kv.kv_heads = static_cast<int>(heads);
  args.kv.head_dim = static_cast<int>(head_dim);
  args.group = 1;
  args.tokens = static_cast<int>(tokens);
  args.scale = scale;
  args.splits = 1;
  with_element(qkv.dtype, [&](auto element) {
    run_attention<decltype(element)>(stream, args, {tokens, qkv.rows / tokens});
  });
}

void attention_prompt(Stream stream, Tensor out, Tensor qkv, std::int64_t heads,
                      const KvView& view) {
  const AttentionArguments args = cached_arguments(out, qkv, heads, view);
  if (view.segment_count == 0 || view.rows == 0) return;
  with_element(qkv.dtype, [&](auto element) {
    run_attention<decltype(element)>(stream, args, {view.rows * args.group, view.segment_count});
  });
}

void attention_decode(Stream stream, Tensor out, Tensor qkv, std::int64_t heads, const KvView& view,
                      float* workspace) {
  AttentionArguments args = cached_arguments(out, qkv, heads, view);
  if (view.segment_count == 0 || view.rows == 0) return;
  args.splits = static_cast<int>(splits_of(view));
  args.partial = workspace;
  const Grid grid{static_cast<unsigned>(qkv.rows), static_cast<unsigned>(heads)};
  with_element(qkv.dtype, [&](auto element) {
    using T = decltype(element);
    run_attention<T>(stream, args, {view.rows * args.group, view.segment_count});
    launch(combine_kernel<T>, grid, kCombineThreads, 0, stream, args);
  });
}

std::size_t attention_workspace_bytes(std::int64_t rows, std::int64_t heads, const KvView& view) {
  return sizeof(float) * rows * heads * splits_of(view) * (view.head_dim + 2);
}

}  // namespace internvl::cuda
