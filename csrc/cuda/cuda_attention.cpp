// Attention and the key-value cache.
#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "cuda/cuda_backend.h"
#include "cuda/transfer.h"

namespace internvl::cuda {
namespace {

static_assert(kPageTokens == kKvPageTokens);

std::int64_t keys_of(const Segment& segment) {
  return segment.past + (segment.stores ? segment.rows : 0);
}

/// What is the same for all segments of a table.
struct TableShape {
  std::int64_t segments;
  std::int64_t pages;  ///< that a segment may have
  std::int64_t rows;   ///< of the longest segment

  bool is_step() const { return rows <= kStepRows; }

  std::size_t page_offset() const { return segments * sizeof(DeviceSegment); }
  std::size_t bytes() const { return page_offset() + segments * pages * sizeof(std::byte*); }
};
static_assert(sizeof(DeviceSegment) % alignof(std::byte*) == 0);

/// Pages are counted in powers of two, so that what operations launch, and a recording of it, stays
/// the same while sequences grow.
TableShape shape_of(const std::vector<Segment>& segments) {
  TableShape shape{static_cast<std::int64_t>(segments.size()), 1, 0};
  for (const Segment& segment : segments) {
    while (shape.pages * kPageTokens < keys_of(segment)) shape.pages *= 2;
    shape.rows = std::max(shape.rows, segment.rows);
  }
  return shape;
}

KvView view_of(const Segments& segments, const KvShape& kv, std::int64_t layer) {
  const TableShape shape = shape_of(segments.list);
  std::int64_t keys = 0;
  for (const Segment& segment : segments.list) keys = std::max(keys, keys_of(segment));
  KvView view{};
  view.segments = segments.table.as<DeviceSegment>();
  view.pages = reinterpret_cast<std::byte**>(segments.table.data() + shape.page_offset());
  view.segment_count = shape.segments;
  view.rows = shape.rows;
  view.keys = shape.is_step() ? shape.pages * kPageTokens : keys;
  view.layer = layer;
  view.kv_heads = kv.kv_heads;
  view.head_dim = kv.head_dim;
  return view;
}

}  // namespace

void CudaBackend::attention(Tensor out, Tensor qkv, std::int64_t tokens, std::int64_t heads,
                            float scale) const {
  (*full_attention_)(out, qkv, tokens, heads, scale);
}

std::size_t CudaBackend::kv_page_bytes(const KvShape& shape) const {
  return cuda::kv_page_bytes(shape.layers, shape.kv_heads, shape.head_dim, shape.dtype);
}

void CudaBackend::prepare_segments(Segments& segments) const {
  const TableShape shape = shape_of(segments.list);
  std::vector<float> table(shape.bytes() / sizeof(float));  // sent as four-byte elements
  auto* base = reinterpret_cast<std::byte*>(table.data());
  for (std::int64_t s = 0; s < shape.segments; ++s) {
    const Segment& segment = segments.list[s];
    const DeviceSegment on_device{static_cast<std::int32_t>(segment.row),
                                  static_cast<std::int32_t>(segment.rows),
                                  static_cast<std::int32_t>(segment.past),
                                  static_cast<std::int32_t>(s * shape.pages),
                                  segment.stores ? 1 : 0,
                                  segment.scale};
    std::memcpy(base + s * sizeof on_device, &on_device, sizeof on_device);
    const std::int64_t pages = (keys_of(segment) + kPageTokens - 1) / kPageTokens;
    std::memcpy(base + shape.page_offset() + s * shape.pages * sizeof(std::byte*), segment.pages,
                pages * sizeof(std::byte*));
  }
  if (segments.table.bytes() != shape.bytes()) segments.table = allocate(shape.bytes());
  const auto count = static_cast<std::int64_t>(table.size());
  transfer(*device_, {segments.table.data(), DType::kFloat32, 1, count, count, Place::kDevice},
           internvl::matrix(table.data(), DType::kFloat32, 1, count));
}

void CudaBackend::rope_store_kv(Tensor qkv, Tensor table, const KvShape& shape, std::int64_t heads,
                                std::int64_t layer, const Segments& segments) const {
  const UseDevice use(device_->context());
  cuda::rope_store_kv(stream(), qkv, table, heads, view_of(segments, shape, layer));
}

void CudaBackend::attention_cached(Tensor out, Tensor qkv, const KvShape& shape, std::int64_t heads,
                                   std::int64_t layer, const Segments& segments) const {
  const KvView view = view_of(segments, shape, layer);
  const UseDevice use(device_->context());
  if (!shape_of(segments.list).is_step())
    return cuda::attention_prompt(stream(), out, qkv, heads, view);
  const Buffer workspace = allocate(cuda::attention_workspace_bytes(qkv.rows, heads, view));
  cuda::attention_decode(stream(), out, qkv, heads, view, workspace.as<float>());
}

}  // namespace internvl::cuda
