#include "memory.h"

#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <sstream>
#include <string>

#include "engine.h"

namespace simt {

Running running;
std::uint64_t matrix_bank_conflicts = 0;

namespace {

// Codes of Access::thread beside the indices of threads, which stay below kLanes.
constexpr std::uint16_t kLanes = 0x1000;     // + warp: several of its lanes
constexpr std::uint16_t kInFlight = 0x2000;  // + thread: an unfinished cp.async
constexpr std::uint16_t kSeveralWarps = 0xfffd;
constexpr std::uint16_t kSeveralBlocks = 0xfffe;
constexpr std::uint16_t kAtomic = 0xffff;

constexpr std::size_t kAlignment = 256;  // of cudaMalloc
constexpr std::size_t kStaticSharedBytes = std::size_t{48} << 10;

enum class Kind { kRead, kWrite, kAtomic };

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::kRead: return "read";
    case Kind::kWrite: return "write";
    case Kind::kAtomic: return "atomic";
  }
  return "?";
}

struct Allocation {
  std::string name;
  std::size_t bytes;
  std::vector<Cell> cells;
};

std::map<std::uintptr_t, Allocation> allocations;  // by their address

struct SharedArray {
  std::string name;
  std::size_t begin;  // in shared.bytes
  std::size_t bytes;
  Site site;
  bool dynamic;
};

struct Shared {
  alignas(1024) std::byte bytes[kSharedBytes];
  Cell cells[kSharedBytes / kCellBytes];
  std::deque<SharedArray> arrays;
  std::size_t dynamic_bytes = 0;
  std::size_t static_bytes = 0;
};
Shared& shared = *new Shared;  // apart from the program's variables; never freed

struct AsyncCopy {
  void* shared;
  const void* global;
  bool fetch;
};

/// Groups of copies of a thread that were not waited for; the last one is not committed.
std::map<std::uint16_t, std::deque<std::vector<AsyncCopy>>> async_groups;

unsigned warp_of(std::uint16_t thread) { return thread / 32u; }

Access access_now() {
  return {running.interval, running.thread, running.warp_intervals[warp_of(running.thread)]};
}

/// Whether an access happened in this launch and nothing orders it before one of the running
/// thread.
bool concurrent(const Access& before) {
  if (before.interval < running.launch_begin) return false;
  if (before.interval < running.block_begin || before.thread == kSeveralBlocks) return true;
  if (before.interval != running.interval || before.thread == running.thread) return false;
  if (before.thread >= kSeveralWarps) return true;
  const unsigned warp = before.thread >= kLanes ? before.thread - kLanes : warp_of(before.thread);
  return warp != warp_of(running.thread) || before.warp_interval == running.warp_intervals[warp];
}

void record_read(Access& read) {
  const Access now = access_now();
  if (read.interval >= running.launch_begin && read.interval < running.block_begin) {
    read = {now.interval, kSeveralBlocks, 0};
  } else if (read.interval != now.interval) {
    read = now;
  } else if (read.thread != now.thread && read.thread < kSeveralWarps) {
    const unsigned warp = read.thread >= kLanes ? read.thread - kLanes : warp_of(read.thread);
    if (warp != warp_of(now.thread)) {
      read.thread = kSeveralWarps;
    } else if (read.warp_interval != now.warp_interval) {
      read = now;
    } else {
      read.thread = static_cast<std::uint16_t>(kLanes + warp);
    }
  } else if (read.thread == now.thread) {
    read = now;
  }
}

/// Finds what is wrong with an access to a cell and records it; null if nothing is.
const char* visit(Cell& cell, Kind kind) {
  const bool in_flight = cell.write.thread >= kInFlight && cell.write.thread < kSeveralWarps;
  if (in_flight) return "of memory that an unfinished asynchronous copy writes";
  if (kind != Kind::kWrite && cell.write.interval == 0) return "of uninitialised memory";
  const bool both_atomic = kind == Kind::kAtomic && cell.write.thread == kAtomic;
  if (concurrent(cell.write) && !both_atomic) return "races with a write";
  if (kind != Kind::kRead && concurrent(cell.read)) return "races with a read";
  if (kind == Kind::kRead) {
    record_read(cell.read);
  } else {
    cell.write = access_now();
    if (kind == Kind::kAtomic) cell.write.thread = kAtomic;
  }
  return nullptr;
}

[[noreturn]] void fail_access(Kind kind, std::size_t bytes, const char* what,
                              const std::string& where, const void* caller) {
  std::ostringstream out;
  out << name_of(kind) << " of " << bytes << " bytes " << what << ": " << where;
  fail(out.str(), caller);
}

void visit_cells(Cell* cells, std::size_t offset, std::size_t bytes, Kind kind,
                 const std::string& name, const void* caller) {
  for (std::size_t c = offset / kCellBytes; c <= (offset + bytes - 1) / kCellBytes; ++c) {
    const char* wrong = visit(cells[c], kind);
    if (wrong != nullptr) {
      fail_access(kind, bytes, wrong, name + " + " + std::to_string(offset), caller);
    }
  }
}

/// The constants and variables of the program, loaded once.
bool in_program(std::uintptr_t address) {
  static const auto image = [] {
    std::pair<std::uintptr_t, std::uintptr_t> range{~std::uintptr_t{0}, 0};
    dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t, void* data) {
          auto& found = *static_cast<std::pair<std::uintptr_t, std::uintptr_t>*>(data);
          const auto own = reinterpret_cast<std::uintptr_t>(&running);
          std::uintptr_t begin = ~std::uintptr_t{0}, end = 0;
          for (int i = 0; i < info->dlpi_phnum; ++i) {
            const auto& header = info->dlpi_phdr[i];
            if (header.p_type != PT_LOAD) continue;
            begin = std::min<std::uintptr_t>(begin, info->dlpi_addr + header.p_vaddr);
            end = std::max<std::uintptr_t>(end, info->dlpi_addr + header.p_vaddr + header.p_memsz);
          }
          if (own >= begin && own < end) found = {begin, end};
          return 0;
        },
        &range);
    return range;
  }();
  return address >= image.first && address < image.second;
}

bool within(const void* address, const void* begin, std::size_t bytes) {
  const auto a = reinterpret_cast<std::uintptr_t>(address);
  const auto b = reinterpret_cast<std::uintptr_t>(begin);
  return a >= b && a < b + bytes;
}

void visit_shared(std::size_t offset, std::size_t bytes, Kind kind, const void* caller) {
  for (const SharedArray& array : shared.arrays) {
    if (offset < array.begin || offset >= array.begin + array.bytes) continue;
    if (offset + bytes > array.begin + array.bytes) {
      fail_access(kind, bytes, "out of bounds", array.name, caller);
    }
    return visit_cells(shared.cells, offset, bytes, kind, array.name, caller);
  }
  fail_access(kind, bytes, "out of bounds", "shared memory + " + std::to_string(offset), caller);
}

void visit_global(std::uintptr_t address, std::size_t bytes, Kind kind, const void* caller) {
  // The allocation before the address: most likely the one that was meant.
  auto next = allocations.upper_bound(address);
  if (next == allocations.begin()) {
    fail_access(kind, bytes, "out of bounds", "no allocation is near", caller);
  }
  auto& [begin, allocation] = *std::prev(next);
  const std::size_t offset = address - begin;
  if (offset + bytes > allocation.bytes) {
    std::ostringstream where;
    where << allocation.name << " + " << offset << ", which has " << allocation.bytes << " bytes";
    fail_access(kind, bytes, "out of bounds", where.str(), caller);
  }
  visit_cells(allocation.cells.data(), offset, bytes, kind, allocation.name, caller);
}

void visit_address(const void* pointer, std::size_t bytes, std::size_t alignment, Kind kind,
                   const void* caller) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  const auto* byte = static_cast<const std::byte*>(pointer);
  if (byte >= running.stack_begin && byte < running.stack_end) return;
  if (kind == Kind::kRead &&
      (within(pointer, running.arguments, running.argument_bytes) || in_program(address))) {
    return;
  }
  if (address % alignment != 0) fail_access(kind, bytes, "misaligned", "", caller);
  if (within(pointer, shared.bytes, kSharedBytes)) {
    return visit_shared(static_cast<std::size_t>(byte - shared.bytes), bytes, kind, caller);
  }
  visit_global(address, bytes, kind, caller);
}

SharedArray& add_array(std::size_t begin, std::size_t bytes, Site site, bool dynamic) {
  std::ostringstream name;
  name << "shared array of " << bytes << " bytes (" << site.file << ":" << site.line << ")";
  shared.arrays.push_back({name.str(), begin, bytes, site, dynamic});
  return shared.arrays.back();
}

}  // namespace

GlobalBuffer::GlobalBuffer(const char* name, std::size_t bytes)
    : storage_(new std::byte[bytes + 2 * kAlignment]), bytes_(bytes) {
  const auto address = reinterpret_cast<std::uintptr_t>(storage_) + kAlignment;
  data_ = storage_ + (address / kAlignment * kAlignment - address + kAlignment);
  std::memset(storage_, 0xff, bytes + 2 * kAlignment);  // NaN in every dtype
  const std::size_t cells = (bytes + kCellBytes - 1) / kCellBytes;
  allocations[reinterpret_cast<std::uintptr_t>(data_)] = {name, bytes, std::vector<Cell>(cells)};
}

GlobalBuffer::~GlobalBuffer() {
  allocations.erase(reinterpret_cast<std::uintptr_t>(data_));
  delete[] storage_;
}

void GlobalBuffer::upload(const void* from) {
  std::memcpy(data_, from, bytes_);
  auto& cells = allocations.at(reinterpret_cast<std::uintptr_t>(data_)).cells;
  for (Cell& cell : cells) cell = {{kHostInterval, 0, 0}, {}};
}

void GlobalBuffer::download(void* to) const { std::memcpy(to, data_, bytes_); }

void begin_block_memory(std::size_t dynamic_bytes) {
  const std::size_t used = shared.dynamic_bytes + shared.static_bytes;
  const std::size_t bytes = std::min(kSharedBytes, std::max(used, dynamic_bytes));
  std::memset(shared.bytes, 0xff, bytes);
  std::fill_n(shared.cells, (bytes + kCellBytes - 1) / kCellBytes, Cell());
  shared.arrays.clear();
  shared.dynamic_bytes = (dynamic_bytes + 15) / 16 * 16;
  shared.static_bytes = 0;
  async_groups.clear();
}

void* shared_array(std::size_t bytes, const char* file, int line) {
  for (const SharedArray& array : shared.arrays) {
    if (!array.dynamic && array.site.line == line && array.bytes == bytes &&
        std::strcmp(array.site.file, file) == 0) {
      return shared.bytes + array.begin;
    }
  }
  const std::size_t begin = shared.dynamic_bytes + shared.static_bytes;
  shared.static_bytes += (bytes + 15) / 16 * 16;
  if (shared.static_bytes > kStaticSharedBytes) {
    fail("static shared arrays of more than 48 KiB", Site{file, line});
  }
  if (shared.dynamic_bytes + shared.static_bytes > kSharedBytes) {
    fail("shared arrays of more than 227 KiB", Site{file, line});
  }
  std::memset(shared.bytes + begin, 0xff, bytes);
  std::fill_n(shared.cells + begin / kCellBytes, (bytes + kCellBytes - 1) / kCellBytes, Cell());
  return shared.bytes + add_array(begin, bytes, {file, line}, false).begin;
}

void* dynamic_shared(std::size_t offset, std::size_t bytes, const char* file, int line) {
  if (offset % 16 != 0) fail("dynamic shared memory at a misaligned offset", Site{file, line});
  if (offset + bytes > shared.dynamic_bytes) {
    fail("dynamic shared memory beyond the " + std::to_string(shared.dynamic_bytes) +
             " bytes of the launch",
         Site{file, line});
  }
  for (const SharedArray& array : shared.arrays) {
    if (!array.dynamic || offset + bytes <= array.begin || offset >= array.begin + array.bytes) {
      continue;
    }
    if (array.begin == offset && array.bytes == bytes) return shared.bytes + offset;
    fail("dynamic shared memory that overlaps the " + array.name, Site{file, line});
  }
  return shared.bytes + add_array(offset, bytes, {file, line}, true).begin;
}

void access(const void* address, std::size_t bytes, std::size_t alignment, bool writes,
            const void* caller) {
  visit_address(address, bytes, alignment, writes ? Kind::kWrite : Kind::kRead, caller);
}

void check_read(const void* address, std::size_t bytes) {
  visit_address(address, bytes, bytes, Kind::kRead, __builtin_return_address(0));
}

void check_write(void* address, std::size_t bytes) {
  visit_address(address, bytes, bytes, Kind::kWrite, __builtin_return_address(0));
}

void check_atomic(void* address, std::size_t bytes) {
  visit_address(address, bytes, bytes, Kind::kAtomic, __builtin_return_address(0));
}

void copy(void* to, const void* from, std::size_t bytes) { std::memcpy(to, from, bytes); }

void copy_async(void* to, const void* from, bool fetch, Site site) {
  if (!within(to, shared.bytes, kSharedBytes)) fail("cp.async to memory that is not shared", site);
  check_write(to, 16);
  if (fetch) check_read(from, 16);
  const std::size_t first = (static_cast<std::byte*>(to) - shared.bytes) / kCellBytes;
  for (std::size_t c = first; c < first + 16 / kCellBytes; ++c) {
    shared.cells[c].write.thread = static_cast<std::uint16_t>(kInFlight + running.thread);
  }
  std::memset(to, 0xff, 16);
  auto& groups = async_groups[running.thread];
  if (groups.empty()) groups.emplace_back();
  groups.back().push_back({to, from, fetch});
}

void commit_async() {
  auto& groups = async_groups[running.thread];
  if (groups.empty()) groups.emplace_back();
  groups.emplace_back();
}

/// Negative: the thread ends, nothing may be in flight.
void wait_async(int groups_in_flight) {
  auto& groups = async_groups[running.thread];
  if (groups_in_flight < 0) {
    for (const auto& group : groups) {
      if (!group.empty()) fail("the thread ends before its cp.async", nullptr);
    }
  }
  while (static_cast<int>(groups.size()) - 1 > groups_in_flight && groups.size() > 1) {
    for (const AsyncCopy& copy : groups.front()) {
      if (copy.fetch) {
        std::memcpy(copy.shared, copy.global, 16);
      } else {
        std::memset(copy.shared, 0, 16);
      }
      const std::size_t first = (static_cast<std::byte*>(copy.shared) - shared.bytes) / kCellBytes;
      for (std::size_t c = first; c < first + 16 / kCellBytes; ++c) {
        shared.cells[c].write = access_now();
      }
    }
    groups.pop_front();
  }
}

}  // namespace simt
