#include "core/error.h"
#include "cuda/kernels/rope.cuh"

namespace internvl::cuda {

std::size_t kv_page_bytes(std::int64_t layers, std::int64_t kv_heads, std::int64_t head_dim,
                          DType dtype) {
  return layers * kv_heads * 2 * kPageTokens * head_dim * size_of(dtype);
}

void rope_store_kv(Stream stream, Tensor qkv, Tensor table, std::int64_t heads,
                   const KvView& view) {
  check(view.head_dim >= 2 && view.head_dim % 2 == 0, "attention: expected an even head size, got ",
        view.head_dim);
  check(qkv.cols == (heads + 2 * view.kv_heads) * view.head_dim, "rope_store_kv: qkv: expected ",
        (heads + 2 * view.kv_heads) * view.head_dim, " columns, got ", qkv.cols);
  check(table.dtype == DType::kFloat32 && table.rows == qkv.rows && table.cols == view.head_dim,
        "rope_store_kv: table: expected float32 of shape (", qkv.rows, ", ", view.head_dim,
        "), got ", name_of(table.dtype), " (", table.rows, ", ", table.cols, ")");
  if (qkv.rows == 0) return;
  const Grid grid{static_cast<unsigned>(qkv.rows),
                  static_cast<unsigned>(divide_up(heads + 2 * view.kv_heads, kRopeWarps))};
  with_element(qkv.dtype, [&](auto element) {
    using T = decltype(element);
    launch(rope_store_kv_kernel<T>, grid, kRopeWarps * kWarp, 0, stream, static_cast<T*>(qkv.data),
           qkv.stride, static_cast<const float*>(table.data), table.stride, static_cast<int>(heads),
           kv_pages(view));
  });
}

}  // namespace internvl::cuda
