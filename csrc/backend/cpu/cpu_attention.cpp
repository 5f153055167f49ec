// Attention and the key-value cache: cutting them into tasks.
#include <algorithm>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "core/error.h"
#include "core/thread_pool.h"

namespace internvl::cpu {
namespace {

static_assert(kPageKeys == kKvPageTokens);

/// Query rows of one task: enough for keys that are read to serve many, few enough for their sums
/// to stay in the L2 cache.
constexpr std::int64_t kQueryRows = 96;

/// Pages of a block of keys in the cache: where blocks begin must not depend on how many keys a row
/// sees.
constexpr std::int64_t kCachedBlockPages = 4;
constexpr std::int64_t kBlockKeys = 512;
static_assert(kBlockKeys == kCachedBlockPages * kPageKeys);

/// Tokens that one task rotates and stores; it divides kKvPageTokens and is even, so that the pairs
/// of tokens in a page are written by one task.
constexpr std::int64_t kStoreTokens = 32;

std::byte* at(const Tensor& tensor, std::int64_t row, std::int64_t col) {
  return static_cast<std::byte*>(tensor.data) + (row * tensor.stride + col) * size_of(tensor.dtype);
}

const AttentionFunctions& functions_of(const AttentionKernels& kernels, DType dtype) {
  const AttentionFunctions& functions =
      dtype == DType::kFloat32 ? kernels.float32 : kernels.bfloat16;
  check(dtype != DType::kFloat16 && functions.attend != nullptr,
        "attention: this instruction set has no activations of ", name_of(dtype));
  return functions;
}

void check_cached(const Tensor& qkv, const KvShape& shape, std::int64_t heads) {
  check(shape.kv_heads >= 1 && heads >= 1 && heads % shape.kv_heads == 0,
        "attention: expected heads in equal groups, got ", heads, " heads for ", shape.kv_heads,
        " key-value heads");
  check(shape.head_dim >= 2 && shape.head_dim % 2 == 0,
        "attention: expected an even head size, got ", shape.head_dim);
  check(qkv.dtype == shape.dtype && qkv.cols == (heads + 2 * shape.kv_heads) * shape.head_dim,
        "attention: qkv: expected ", name_of(shape.dtype), " with ",
        (heads + 2 * shape.kv_heads) * shape.head_dim, " columns, got ", name_of(qkv.dtype),
        " with ", qkv.cols);
}

void check_out(const Tensor& out, const Tensor& qkv, std::int64_t cols) {
  check(out.dtype == qkv.dtype && out.rows == qkv.rows && out.cols == cols,
        "attention: out: expected ", name_of(qkv.dtype), " of shape (", qkv.rows, ", ", cols,
        "), got ", name_of(out.dtype), " (", out.rows, ", ", out.cols, ")");
}

/// Calls body(segment, block) for block in [0, blocks(segment)) of every segment, the last block
/// first: in causal attention it is the longest.
template <class Blocks, class Body>
void for_segment_blocks(const Segments& segments, const Blocks& blocks, const Body& body) {
  std::int64_t tasks = 0;
  for (const Segment& segment : segments.list) tasks += blocks(segment);
  parallel_for(tasks, [&](std::int64_t task, int) {
    std::int64_t block = tasks - 1 - task;
    const Segment* segment = segments.list.data();
    for (; block >= blocks(*segment); ++segment) block -= blocks(*segment);
    body(*segment, block);
  });
}

}  // namespace

void CpuBackend::attention(Tensor out, Tensor qkv, std::int64_t tokens, std::int64_t heads,
                           float scale) const {
  const AttentionKernels& kernels = kernels_.attention;
  const AttentionFunctions& functions = functions_of(kernels, qkv.dtype);
  check(heads >= 1 && qkv.cols % (6 * heads) == 0, "attention: qkv: expected a multiple of ",
        6 * heads, " columns (q, k and v of ", heads, " heads of even size), got ", qkv.cols);
  const std::int64_t width = qkv.cols / 3;
  const std::int64_t head_dim = width / heads;
  check_out(out, qkv, width);
  check(tokens >= 1 && qkv.rows % tokens == 0, "attention: qkv: expected a multiple of ", tokens,
        " rows, got ", qkv.rows);

  // A task packs the keys and values of a head for itself: cheap beside attention over all rows,
  // so that rows are split between tasks only as far as the threads need it.
  const std::int64_t pairs = qkv.rows / tokens * heads;  // of tile and head
  const std::int64_t splits =
      std::min(divide_up(4 * num_threads(), std::max<std::int64_t>(1, pairs)),
               divide_up(tokens, kQueryRows));
  const std::int64_t share = divide_up(tokens, splits);
  const std::size_t block_bytes = kernels.kv_block_bytes(head_dim, qkv.dtype);
  const std::size_t part_bytes = kernels.part_bytes(kQueryRows, head_dim);
  const std::int64_t pages = divide_up(tokens, kPageKeys);
  // Blocks of equal length: the class token behind 1024 others is no block of its own.
  const std::int64_t block_pages = divide_up(pages, divide_up(pages, kMostBlockPages));

  parallel_for(pairs * splits, [&](std::int64_t task, int) {
    const std::int64_t row = task / splits / heads * tokens;
    const std::int64_t column = task / splits % heads * head_dim;
    std::byte* blocks = thread_scratch(pages * (block_bytes + sizeof(std::byte*)) + part_bytes +
                                       kernels.scratch_bytes(kQueryRows, head_dim));
    std::byte* part = blocks + pages * block_bytes;
    std::byte* scratch = part + part_bytes;
    std::byte** page_table =
        reinterpret_cast<std::byte**>(scratch + kernels.scratch_bytes(kQueryRows, head_dim));
    for (std::int64_t page = 0; page < pages; ++page) {
      const std::int64_t first = page * kPageKeys;
      page_table[page] = blocks + page * block_bytes;
      StoreKvArgs store;
      store.block = page_table[page];
      store.keys = at(qkv, row + first, width + column);
      store.values = at(qkv, row + first, 2 * width + column);
      store.stride = qkv.stride;
      store.position = 0;
      store.count = std::min(kPageKeys, tokens - first);
      store.head_dim = head_dim;
      functions.store_kv(store);
    }
    const std::int64_t end = std::min(tokens, (task % splits + 1) * share);
    for (std::int64_t token = task % splits * share; token < end; token += kQueryRows) {
      AttentionArgs args;
      args.out = at(out, row + token, column);
      args.q = at(qkv, row + token, column);
      args.out_stride = out.stride;
      args.q_stride = qkv.stride;
      args.tokens = std::min(kQueryRows, end - token);
      args.group = 1;
      args.head_dim = head_dim;
      args.pages = page_table;
      args.block_pages = block_pages;
      args.offset = 0;
      args.visible = tokens;
      args.causal = false;
      args.scale = scale;
      functions.attend(args, part, scratch);
    }
  });
}

std::size_t CpuBackend::kv_page_bytes(const KvShape& shape) const {
  return shape.layers * shape.kv_heads *
         kernels_.attention.kv_block_bytes(shape.head_dim, shape.dtype);
}

void CpuBackend::prepare_segments(Segments&) const {}  // the list is what operations read

void CpuBackend::rope_store_kv(Tensor qkv, Tensor table, const KvShape& shape, std::int64_t heads,
                               std::int64_t layer, const Segments& segments) const {
  check_cached(qkv, shape, heads);
  check(table.dtype == DType::kFloat32 && table.rows == qkv.rows && table.cols == shape.head_dim,
        "rope_store_kv: table: expected float32 of shape (", qkv.rows, ", ", shape.head_dim,
        "), got ", name_of(table.dtype), " (", table.rows, ", ", table.cols, ")");
  const AttentionFunctions& functions = functions_of(kernels_.attention, shape.dtype);
  const std::size_t block_bytes = kernels_.attention.kv_block_bytes(shape.head_dim, shape.dtype);

  const auto blocks = [](const Segment& segment) {
    return divide_up(segment.past % kStoreTokens + segment.rows, kStoreTokens);
  };
  for_segment_blocks(segments, blocks, [&](const Segment& segment, std::int64_t block) {
    const std::int64_t aligned = segment.past / kStoreTokens * kStoreTokens + block * kStoreTokens;
    const std::int64_t first = std::max(segment.past, aligned);
    const std::int64_t end = std::min(segment.past + segment.rows, aligned + kStoreTokens);
    const std::int64_t row = segment.row + first - segment.past;
    for (std::int64_t i = 0; i < end - first; ++i) {
      functions.rotate(at(qkv, row + i, 0), table.row<float>(row + i), heads + shape.kv_heads,
                       shape.head_dim);
    }
    if (!segment.stores) return;
    std::byte* page = segment.pages[first / kPageKeys] + layer * shape.kv_heads * block_bytes;
    for (std::int64_t head = 0; head < shape.kv_heads; ++head) {
      StoreKvArgs store;
      store.block = page + head * block_bytes;
      store.keys = at(qkv, row, (heads + head) * shape.head_dim);
      store.values = at(qkv, row, (heads + shape.kv_heads + head) * shape.head_dim);
      store.stride = qkv.stride;
      store.position = first % kPageKeys;
      store.count = end - first;
      store.head_dim = shape.head_dim;
      functions.store_kv(store);
    }
  });
}

void CpuBackend::attention_cached(Tensor out, Tensor qkv, const KvShape& shape, std::int64_t heads,
                                  std::int64_t layer, const Segments& segments) const {
  check_cached(qkv, shape, heads);
  check_out(out, qkv, heads * shape.head_dim);
  const AttentionKernels& kernels = kernels_.attention;
  const AttentionFunctions& functions = functions_of(kernels, shape.dtype);
  const std::size_t block_bytes = kernels.kv_block_bytes(shape.head_dim, shape.dtype);
  const std::int64_t group = heads / shape.kv_heads;
  const std::int64_t tokens = std::max<std::int64_t>(1, kQueryRows / group);

  const auto blocks = [&](const Segment& segment) {
    return divide_up(segment.rows, tokens) * shape.kv_heads;
  };
  const auto args_of = [&](const Segment& segment, std::int64_t block) {
    const std::int64_t head = block % shape.kv_heads;
    const std::int64_t first = block / shape.kv_heads * tokens;
    const std::int64_t column = head * group * shape.head_dim;
    AttentionArgs args;
    args.out = at(out, segment.row + first, column);
    args.q = at(qkv, segment.row + first, column);
    args.out_stride = out.stride;
    args.q_stride = qkv.stride;
    args.tokens = std::min(tokens, segment.rows - first);
    args.group = group;
    args.head_dim = shape.head_dim;
    args.pages = segment.pages;
    args.block_pages = kCachedBlockPages;
    args.offset = (layer * shape.kv_heads + head) * block_bytes;
    args.visible = segment.stores ? segment.past + first + 1 : segment.past;
    args.causal = segment.stores;
    args.scale = segment.scale;
    return args;
  };
  const std::size_t part_bytes = kernels.part_bytes(tokens * group, shape.head_dim);
  const std::size_t scratch_bytes = kernels.scratch_bytes(tokens * group, shape.head_dim);

  std::int64_t tasks = 0;
  std::int64_t longest = 0;
  for (const Segment& segment : segments.list) {
    tasks += blocks(segment);
    longest = std::max(longest, segment.past + (segment.stores ? segment.rows : 0));
  }
  if (tasks >= 2 * num_threads() || longest <= kBlockKeys) {
    for_segment_blocks(segments, blocks, [&](const Segment& segment, std::int64_t block) {
      std::byte* part = thread_scratch(part_bytes + scratch_bytes);
      functions.attend(args_of(segment, block), part, part + part_bytes);
    });
    return;
  }

  // Too few tasks for the threads: a task is one block of keys. What it gives does not depend on
  // that, so that results are the same on any number of threads.
  struct Part {
    AttentionArgs args;
    std::int64_t first;  // key
    std::size_t at;      // in `memory`
  };
  std::vector<Part> parts;
  std::vector<std::size_t> begins;  // of the parts of each block of rows
  std::size_t bytes = 0;
  for (const Segment& segment : segments.list) {
    for (std::int64_t block = 0; block < blocks(segment); ++block) {
      begins.push_back(parts.size());
      const AttentionArgs args = args_of(segment, block);
      const std::int64_t keys = args.visible + (args.causal ? args.tokens - 1 : 0);
      std::int64_t first = 0;
      do {
        parts.push_back({args, first, bytes});
        bytes += kernels.part_bytes(args.tokens * group, shape.head_dim);
        first += kBlockKeys;
      } while (first < keys);
    }
  }
  begins.push_back(parts.size());
  const Buffer memory(bytes);
  parallel_for(static_cast<std::int64_t>(parts.size()), [&](std::int64_t i, int) {
    const Part& part = parts[i];
    functions.attend_part(part.args, part.first, memory.data() + part.at,
                          thread_scratch(scratch_bytes));
  });
  parallel_for(tasks, [&](std::int64_t i, int) {
    const Part& part = parts[begins[i]];
    functions.join_parts(part.args, memory.data() + part.at,
                         static_cast<std::int64_t>(begins[i + 1] - begins[i]));
  });
}

}  // namespace internvl::cpu
