// The threads of a block are fibers on one CPU thread: each runs until it waits at a barrier or for
// the other lanes of its warp. That makes every run repeatable, and a wait that nobody can end a
// diagnosis instead of a hang.
#include "engine.h"

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <sstream>
#include <vector>

#include "memory.h"

simt::Index threadIdx, blockIdx, blockDim, gridDim;

namespace simt {
namespace {

constexpr unsigned kWarp = 32;
constexpr unsigned kMaxThreads = 1024;
constexpr std::size_t kStackBytes = std::size_t{64} << 10;

enum class State { kReady, kMeets, kBarrier, kDone };

struct Thread {
  State state = State::kReady;
  bool started = false;
  Site barrier{};
  Lane* lane = nullptr;
  ucontext_t entry;
  jmp_buf context;
};

std::vector<Thread> threads;
Thread* current = nullptr;
jmp_buf scheduler;
std::string fault;
void (*kernel_body)(const void*);
const void* kernel_arguments;
std::uint32_t order_seed = 0;

std::byte* stacks() {
  static std::byte* const memory = [] {
    void* mapped = mmap(nullptr, kMaxThreads * kStackBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    return static_cast<std::byte*>(mapped);
  }();
  return memory;
}

unsigned index_of(const Thread& thread) { return static_cast<unsigned>(&thread - threads.data()); }

std::string text_of(Site site) {
  std::ostringstream out;
  out << site.file << ":" << site.line;
  return out.str();
}

std::string text_of(Index i) {
  std::ostringstream out;
  out << "(" << i.x << ", " << i.y << ", " << i.z << ")";
  return out.str();
}

[[noreturn]] void leave_kernel(std::string what) {
  fault = std::move(what) + ", block " + text_of(blockIdx);
  _longjmp(scheduler, 1);
}

void pause(State state) {
  current->state = state;
  if (_setjmp(current->context) == 0) _longjmp(scheduler, 1);
}

void thread_main() {
  kernel_body(kernel_arguments);
  wait_async(-1);
  current->state = State::kDone;
  _longjmp(scheduler, 1);
}

void start(Thread& thread) {
  thread.started = true;
  getcontext(&thread.entry);
  thread.entry.uc_stack.ss_sp = stacks() + index_of(thread) * kStackBytes;
  thread.entry.uc_stack.ss_size = kStackBytes;
  thread.entry.uc_link = nullptr;
  makecontext(&thread.entry, thread_main, 0);
  setcontext(&thread.entry);
}

/// Runs a thread until it waits, ends or fails.
void resume(Thread& thread) {
  current = &thread;
  running.thread = static_cast<std::uint16_t>(index_of(thread));
  threadIdx = {index_of(thread), 0, 0};
  if (_setjmp(scheduler) != 0) return;
  if (thread.started) _longjmp(thread.context, 1);
  start(thread);
}

std::vector<unsigned> first_order(unsigned count) {
  std::vector<unsigned> order(count);
  std::iota(order.begin(), order.end(), 0u);
  if (order_seed == 1) std::reverse(order.begin(), order.end());
  return order;
}

void change_order(std::vector<unsigned>& order, std::mt19937& random) {
  if (order_seed > 1) std::shuffle(order.begin(), order.end(), random);
}

/// All live threads wait at the barrier `first` is at, or that is a fault.
void release_barrier(const Thread& first) {
  for (const Thread& thread : threads) {
    if (thread.state == State::kDone) {
      leave_kernel("divergent barrier: thread " + std::to_string(index_of(thread)) +
                   " ended, others wait at " + text_of(first.barrier));
    }
    if (thread.barrier.line != first.barrier.line ||
        std::strcmp(thread.barrier.file, first.barrier.file) != 0) {
      leave_kernel("divergent barrier: thread " + std::to_string(index_of(first)) + " waits at " +
                   text_of(first.barrier) + ", thread " + std::to_string(index_of(thread)) +
                   " at " + text_of(thread.barrier));
    }
  }
  for (Thread& thread : threads) thread.state = State::kReady;
  ++running.interval;
}

/// Every live thread waits.
void end_waiting() {
  if (_setjmp(scheduler) != 0) return;
  for (const Thread& thread : threads) {
    if (thread.state != State::kMeets) continue;
    const Lane& lane = *thread.lane;
    leave_kernel(std::string(lane.operation) + " at " + text_of(lane.site) + " by thread " +
                 std::to_string(index_of(thread)) + " waits for lanes that do not come");
  }
  for (const Thread& thread : threads) {
    if (thread.state == State::kBarrier) return release_barrier(thread);
  }
}

void run_block(unsigned count, std::mt19937& random) {
  threads.assign(count, Thread());
  running.warp_intervals.assign((count + kWarp - 1) / kWarp, 0);
  std::vector<unsigned> order = first_order(count);
  for (bool live = true; live && fault.empty();) {
    bool progress = false;
    live = false;
    change_order(order, random);
    for (unsigned index : order) {
      if (threads[index].state == State::kDone) continue;
      live = true;
      if (threads[index].state != State::kReady) continue;
      resume(threads[index]);
      if (!fault.empty()) return;
      progress = true;
    }
    if (live && !progress) end_waiting();
  }
}

}  // namespace

void fail(const std::string& what, const void* caller) {
  std::ostringstream out;
  out << what << ", thread " << running.thread << " at [" << caller << "]";
  leave_kernel(out.str());
}

void fail(const std::string& what, Site site) {
  leave_kernel(what + ", thread " + std::to_string(running.thread) + " at " + text_of(site));
}

void set_seed(std::uint32_t seed) { order_seed = seed; }

decltype(queue) queue = nullptr;

void run(const Geometry& geometry, void (*body)(const void*), const void* arguments,
         std::size_t argument_bytes) {
  if (geometry.threads < 1 || geometry.threads > kMaxThreads) {
    throw Fault("launch of " + std::to_string(geometry.threads) + " threads a block");
  }
  if (geometry.grid.x < 1 || geometry.grid.y < 1 || geometry.grid.z < 1 ||
      geometry.grid.y > 65535 || geometry.grid.z > 65535) {
    throw Fault("launch of a grid of " + text_of(geometry.grid));
  }
  if (geometry.dynamic_bytes > kSharedBytes) {
    throw Fault("launch with " + std::to_string(geometry.dynamic_bytes) +
                " bytes of shared memory");
  }
  kernel_body = body;
  kernel_arguments = arguments;
  running.arguments = static_cast<const std::byte*>(arguments);
  running.argument_bytes = argument_bytes;
  running.stack_begin = stacks();
  running.stack_end = stacks() + kMaxThreads * kStackBytes;
  running.launch_begin = ++running.interval;
  blockDim = {geometry.threads, 1, 1};
  gridDim = geometry.grid;
  std::mt19937 random(order_seed);
  std::vector<unsigned> blocks = first_order(gridDim.x * gridDim.y * gridDim.z);
  change_order(blocks, random);
  fault.clear();
  running.in_kernel = true;
  for (unsigned block : blocks) {
    blockIdx = {block % gridDim.x, block / gridDim.x % gridDim.y, block / gridDim.x / gridDim.y};
    running.block_begin = ++running.interval;
    begin_block_memory(geometry.dynamic_bytes);
    run_block(geometry.threads, random);
    if (!fault.empty()) break;
  }
  running.in_kernel = false;
  ++running.interval;
  if (!fault.empty()) throw Fault(fault);
}

void sync_threads(Site site) {
  current->barrier = site;
  pause(State::kBarrier);
}

void meet(Lane& lane, Resolve resolve) {
  const unsigned own = index_of(*current);
  const unsigned warp = own / kWarp * kWarp;
  if ((lane.mask >> own % kWarp & 1) == 0) {
    fail(std::string(lane.operation) + ": the lane is not in its own mask", lane.site);
  }
  current->lane = &lane;
  Lane* lanes[kWarp] = {};
  for (unsigned i = 0; i < kWarp; ++i) {
    if ((lane.mask >> i & 1) == 0) continue;
    if (warp + i >= threads.size() || threads[warp + i].state == State::kDone) {
      fail(std::string(lane.operation) + ": lane " + std::to_string(i) +
               " of the mask is not active",
           lane.site);
    }
    const Thread& other = threads[warp + i];
    if (&other != current && other.state != State::kMeets) return pause(State::kMeets);
    lanes[i] = other.lane;
    if (lanes[i]->mask != lane.mask || lanes[i]->site.line != lane.site.line ||
        std::strcmp(lanes[i]->operation, lane.operation) != 0) {
      fail(std::string(lane.operation) + ": lane " + std::to_string(i) + " is in " +
               lanes[i]->operation + " at " + text_of(lanes[i]->site) + " or has another mask",
           lane.site);
    }
  }
  resolve(lanes);
  for (unsigned i = 0; i < kWarp; ++i) {
    if (lanes[i] != nullptr) threads[warp + i].state = State::kReady;
  }
}

}  // namespace simt
