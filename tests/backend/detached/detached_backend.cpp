#include "detached_backend.h"

#include <cstring>

#include "core/error.h"

namespace internvl::test {
namespace {

// No address of an x86-64 or ARM machine has bit 62 and not bit 63.
constexpr std::uintptr_t kAway = std::uintptr_t{1} << 62;

std::byte* away(std::byte* data) {
  return reinterpret_cast<std::byte*>(reinterpret_cast<std::uintptr_t>(data) + kAway);
}

std::byte* back(const void* data) {
  return reinterpret_cast<std::byte*>(reinterpret_cast<std::uintptr_t>(data) - kAway);
}

void fill_with_nans(const Buffer& buffer) {
  if (buffer.bytes() > 0) std::memset(buffer.data(), 0xff, buffer.bytes());
}

// Operations on this thread since replay() began; null outside of it.
thread_local std::ostringstream* trace = nullptr;

Tensor here(Tensor tensor) {
  check<InternalError>(tensor.data == nullptr || tensor.place == Place::kDevice,
                       "an operation got a tensor in the host's memory");
  if (trace != nullptr)
    *trace << ' ' << tensor.data << '(' << tensor.rows << ',' << tensor.cols << ')';
  if (tensor.data != nullptr) tensor.data = back(tensor.data);
  tensor.place = Place::kHost;
  return tensor;
}

Tensor here_or_host(Tensor tensor) { return tensor.place == Place::kHost ? tensor : here(tensor); }

Buffer here(const Buffer& buffer) {
  if (buffer.bytes() == 0) return Buffer();
  check<InternalError>(buffer.place() == Place::kDevice,
                       "an operation got a buffer in the host's memory");
  const std::shared_ptr<void> no_owner;
  return {std::shared_ptr<std::byte>(no_owner, back(buffer.data())), buffer.bytes(), Place::kHost};
}

Norm here(const Norm& norm) { return {norm.kind, norm.eps, here(norm.weight), here(norm.bias)}; }

void begin(const char* operation) {
  if (trace != nullptr) *trace << '\n' << operation;
}

std::int64_t pages_of(const Segment& segment) {
  const std::int64_t keys = segment.past + (segment.stores ? segment.rows : 0);
  return (keys + kKvPageTokens - 1) / kKvPageTokens;
}

}  // namespace

Buffer DetachedBackend::allocate(std::size_t bytes) const {
  auto memory = std::make_shared<Buffer>(bytes);
  check<InternalError>(trace == nullptr, "replay: its body allocated memory");
  fill_with_nans(*memory);
  const auto free = [memory](std::byte*) { fill_with_nans(*memory); };
  return {std::shared_ptr<std::byte>(away(memory->data()), free), bytes, Place::kDevice};
}

void DetachedBackend::replay(Recording& recording, const std::function<void()>& body) const {
  std::ostringstream operations;
  trace = &operations;
  try {
    body();
  } catch (...) {
    trace = nullptr;
    throw;
  }
  trace = nullptr;
  if (recording == nullptr) recording = std::make_shared<std::string>(operations.str());
  const auto& recorded = *static_cast<const std::string*>(recording.get());
  check<InternalError>(recorded == operations.str(), "replay: recorded", recorded, "\ncalled",
                       operations.str());
}

void DetachedBackend::copy(Tensor out, Tensor x) const {
  begin("copy");
  check<InternalError>(out.place == x.place || out.dtype == x.dtype,
                       "copy: converts between the host and the backend");
  cpu_->copy(here_or_host(out), here_or_host(x));
}

void DetachedBackend::patchify(Tensor out, Tensor pixels, std::int64_t channels,
                               std::int64_t height, std::int64_t width, std::int64_t patch) const {
  begin("patchify");
  cpu_->patchify(here(out), here(pixels), channels, height, width, patch);
}

void DetachedBackend::vision_embed(Tensor hidden, Tensor patches, Tensor class_embedding,
                                   Tensor position) const {
  begin("vision_embed");
  cpu_->vision_embed(here(hidden), here(patches), here(class_embedding), here(position));
}

void DetachedBackend::gather_rows(Tensor out, Tensor table,
                                  const std::vector<std::int32_t>& rows) const {
  begin("gather_rows");
  cpu_->gather_rows(here(out), here(table), rows);
}

TokenChoice DetachedBackend::choose(Tensor scores, const TokenRule& rule,
                                    const TokenInputs& inputs) const {
  begin("choose");
  return cpu_->choose(here(scores), rule, inputs);
}

void DetachedBackend::norm(Tensor out, Tensor x, const Norm& norm) const {
  begin("norm");
  cpu_->norm(here(out), here(x), here(norm));
}

void DetachedBackend::qk_norm(Tensor q, Tensor k, const Norm& q_norm, const Norm& k_norm) const {
  begin("qk_norm");
  cpu_->qk_norm(here(q), here(k), here(q_norm), here(k_norm));
}

void DetachedBackend::linear(Tensor out, Tensor x, const Linear& linear,
                             Activation activation) const {
  begin("linear");
  cpu_->linear(here(out), here(x), linear, activation);
}

void DetachedBackend::linear_gated(Tensor out, Tensor x, const Linear& linear,
                                   Activation activation) const {
  begin("linear_gated");
  cpu_->linear_gated(here(out), here(x), linear, activation);
}

void DetachedBackend::linear_add(Tensor residual, Tensor x, const Linear& linear, Tensor scale,
                                 const NextNorm& next) const {
  begin("linear_add");
  const Norm norm = next.norm == nullptr ? Norm() : here(*next.norm);
  cpu_->linear_add(here(residual), here(x), linear, here(scale),
                   {here(next.out), next.norm == nullptr ? nullptr : &norm});
}

void DetachedBackend::attention(Tensor out, Tensor qkv, std::int64_t tokens, std::int64_t heads,
                                float scale) const {
  begin("attention");
  cpu_->attention(here(out), here(qkv), tokens, heads, scale);
}

void DetachedBackend::pixel_shuffle(Tensor out, Tensor x, std::int64_t side, std::int64_t factor,
                                    bool transposed) const {
  begin("pixel_shuffle");
  cpu_->pixel_shuffle(here(out), here(x), side, factor, transposed);
}

void DetachedBackend::pixel_shuffle_norm(Tensor out, Tensor x, std::int64_t side,
                                         std::int64_t factor, bool transposed,
                                         const Norm& norm) const {
  begin("pixel_shuffle_norm");
  cpu_->pixel_shuffle_norm(here(out), here(x), side, factor, transposed, here(norm));
}

void DetachedBackend::prepare_segments(Segments& segments) const {
  std::int64_t pages = 0;
  for (const Segment& segment : segments.list) pages += pages_of(segment);
  if (segments.table.bytes() < pages * sizeof(std::byte*))
    segments.table = Buffer(2 * pages * sizeof(std::byte*));
  std::byte** entry = segments.table.as<std::byte*>();
  for (const Segment& segment : segments.list)
    for (std::int64_t page = 0; page < pages_of(segment); ++page)
      *entry++ = back(segment.pages[page]);
}

Segments DetachedBackend::attached(const Segments& segments) const {
  Segments result;
  std::byte* const* pages = segments.table.as<std::byte*>();
  if (trace != nullptr) *trace << ' ' << pages;
  for (Segment segment : segments.list) {
    segment.pages = pages;
    pages += pages_of(segment);
    result.list.push_back(segment);
  }
  return result;
}

void DetachedBackend::rope_store_kv(Tensor qkv, Tensor table, const KvShape& shape,
                                    std::int64_t heads, std::int64_t layer,
                                    const Segments& segments) const {
  begin("rope_store_kv");
  cpu_->rope_store_kv(here(qkv), here(table), shape, heads, layer, attached(segments));
}

void DetachedBackend::attention_cached(Tensor out, Tensor qkv, const KvShape& shape,
                                       std::int64_t heads, std::int64_t layer,
                                       const Segments& segments) const {
  begin("attention_cached");
  cpu_->attention_cached(here(out), here(qkv), shape, heads, layer, attached(segments));
}

}  // namespace internvl::test
