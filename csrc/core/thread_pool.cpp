#include "core/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/pause.h"

namespace internvl {
namespace {

constexpr int kMaxThreads = 1024;

// A decoded token is about two hundred regions: workers wait a moment for the next one before
// they sleep, since waking a thread costs more than a small region.
constexpr int kSpins = 4000;

thread_local bool inside_region = false;

class Pool {
 public:
  explicit Pool(int threads) : threads_(threads) {
    try {
      for (int t = 1; t < threads; ++t) workers_.emplace_back([this, t] { work(t); });
    } catch (const std::system_error& error) {
      stop();
      throw std::runtime_error(message("cannot start ", threads,
                                       " threads (set_num_threads): ", error.what(),
                                       "; memory, or the number of processes, is limited"));
    } catch (...) {
      stop();
      throw;
    }
  }

  ~Pool() { stop(); }

  void run(std::int64_t tasks, const std::function<void(std::int64_t, int)>& body,
           const std::function<void()>& first) {
    tasks_ = tasks;
    body_ = &body;
    error_ = nullptr;
    next_.store(0, std::memory_order_relaxed);
    running_.store(threads_ - 1, std::memory_order_relaxed);
    {
      std::lock_guard<std::mutex> lock(sleep_);
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    take_tasks(0, first);
    for (int spin = 0; running_.load(std::memory_order_acquire) != 0; ++spin) {
      if (spin < kSpins) {
        pause();
      } else {
        std::this_thread::yield();
      }
    }
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void stop() {
    {
      std::lock_guard<std::mutex> lock(sleep_);
      stop_ = true;
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  void work(int thread) {
    inside_region = true;
    std::uint64_t seen = 0;
    while (true) {
      for (int spin = 0; spin < kSpins; ++spin) {
        if (generation_.load(std::memory_order_acquire) != seen) break;
        pause();
      }
      if (generation_.load(std::memory_order_acquire) == seen) {
        std::unique_lock<std::mutex> lock(sleep_);
        wake_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != seen; });
      }
      ++seen;
      if (stop_) return;
      take_tasks(thread);
      running_.fetch_sub(1, std::memory_order_release);
    }
  }

  void take_tasks(int thread, const std::function<void()>& first = {}) {
    try {
      if (first) first();
      while (true) {
        const std::int64_t task = next_.fetch_add(1, std::memory_order_relaxed);
        if (task >= tasks_) return;
        (*body_)(task, thread);
      }
    } catch (...) {
      std::lock_guard<std::mutex> lock(failure_);
      if (!error_) error_ = std::current_exception();
      next_.store(tasks_, std::memory_order_relaxed);  // the other threads stop early
    }
  }

  const int threads_;
  std::vector<std::thread> workers_;
  std::mutex sleep_;
  std::condition_variable wake_;
  std::atomic<std::uint64_t> generation_{0};
  bool stop_ = false;

  std::int64_t tasks_ = 0;
  const std::function<void(std::int64_t, int)>* body_ = nullptr;
  std::atomic<std::int64_t> next_{0};
  std::atomic<int> running_{0};
  std::mutex failure_;
  std::exception_ptr error_;
};

int parse_threads(const char* text) {
  char* end = nullptr;
  const long count = std::strtol(text, &end, 10);
  check(end != text && *end == '\0' && count >= 1 && count <= kMaxThreads,
        "INTERNVL_NATIVE_NUM_THREADS: expected an integer from 1 to ", kMaxThreads, ", got '", text,
        "'");
  return static_cast<int>(count);
}

int default_threads() {
  const char* text = std::getenv("INTERNVL_NATIVE_NUM_THREADS");
  if (text != nullptr && *text != '\0') return parse_threads(text);
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return CPU_COUNT(&allowed);
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

// Never destroyed: threads of a process that exits are not joined, and a forked child must not
// join threads that it does not have.
struct State {
  std::mutex region;
  int count = 0;         // 0: not decided yet
  Pool* pool = nullptr;  // null: not started yet
};

State* state = new State;

void start_afresh_in_child() {
  const int count = state->count;
  state = new State;  // the parent's mutexes and threads are in an unknown state: abandon them
  state->count = count;
  inside_region = false;
}

const int fork_handler = pthread_atfork(nullptr, nullptr, start_afresh_in_child);

int decided_count() {
  if (state->count == 0) state->count = default_threads();
  return state->count;
}

}  // namespace

int num_threads() {
  if (inside_region) return state->count;  // the region's owner holds the lock
  std::lock_guard<std::mutex> lock(state->region);
  return decided_count();
}

void set_num_threads(int count) {
  check(count >= 1 && count <= kMaxThreads, "num_threads: expected an integer from 1 to ",
        kMaxThreads, ", got ", count);
  check<InternalError>(!inside_region, "set_num_threads() inside a parallel region");
  std::lock_guard<std::mutex> lock(state->region);
  if (count == state->count) return;
  delete state->pool;
  state->pool = nullptr;
  state->count = count;
}

void parallel_for(std::int64_t tasks,
                  const std::function<void(std::int64_t task, int thread)>& body,
                  const std::function<void()>& first) {
  if (tasks <= 0) return;
  if (tasks == 1 || inside_region) {
    if (first) first();
    for (std::int64_t task = 0; task < tasks; ++task) body(task, 0);
    return;
  }
  std::lock_guard<std::mutex> lock(state->region);
  const int count = decided_count();
  struct Inside {
    Inside() { inside_region = true; }
    ~Inside() { inside_region = false; }
  } inside;
  if (count == 1) {
    if (first) first();
    for (std::int64_t task = 0; task < tasks; ++task) body(task, 0);
    return;
  }
  if (state->pool == nullptr) state->pool = new Pool(count);
  state->pool->run(tasks, body, first);
}

}  // namespace internvl
