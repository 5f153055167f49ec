// The package's own threads. A parallel region blocks its caller until every task is done, so
// results never depend on the number of threads: tasks own disjoint outputs.
#pragma once

#include <cstdint>
#include <functional>

namespace internvl {

/// Threads used by parallel regions, the caller included. Starts as INTERNVL_NATIVE_NUM_THREADS,
/// else the CPUs this process may run on.
int num_threads();

/// Throws InvalidArgument for count < 1.
void set_num_threads(int count);

/// Calls body(task, thread) for every task in [0, tasks), each exactly once, on up to
/// num_threads() threads; thread < num_threads() identifies scratch memory. Tasks are handed out
/// in ascending order; the caller runs `first` before its own, when the others have begun. The
/// first exception thrown by a task is rethrown after all threads have stopped. Regions of several
/// caller threads run one after another; a region inside a region runs on its caller alone. The
/// pool is rebuilt in the child after a fork. Throws std::runtime_error (RuntimeError) if its
/// threads cannot be started.
void parallel_for(std::int64_t tasks,
                  const std::function<void(std::int64_t task, int thread)>& body,
                  const std::function<void()>& first = {});

}  // namespace internvl
