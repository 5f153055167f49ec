// Kernels that do what a device leaves undefined, one sin each, and one that does it right.
#include <stdexcept>
#include <string>

#include "cuda/kernels/device.cuh"
#include "cuda/kernels/reduce.cuh"
#include "library.h"

namespace {

using internvl::cuda::Bytes16;
using internvl::cuda::kAllLanes;

constexpr unsigned kThreads = 64;

__global__ void write_past_the_end(float* x) { x[threadIdx.x + 1] = 1.0f; }

__global__ void read_past_the_end(float* x) {
  const float next = x[threadIdx.x + 1];
  if (next == 2.0f) x[threadIdx.x] = 1.0f;
}

__global__ void read_a_vector_past_the_end(float* x) {
  if (threadIdx.x != 0) return;
  const Bytes16 v = internvl::cuda::load_vector(reinterpret_cast<const Bytes16*>(x + 64));
  x[0] = static_cast<float>(v.words[0]);
}

__global__ void read_a_misaligned_vector(float* x) {
  const Bytes16 v = internvl::cuda::load_vector(reinterpret_cast<const Bytes16*>(x + 1));
  if (threadIdx.x == 0) x[0] = static_cast<float>(v.words[0]);
}

__global__ void read_a_misaligned_word(float* x) {
  const auto* halves = reinterpret_cast<const std::uint16_t*>(x);
  if (threadIdx.x == 0) x[0] = *reinterpret_cast<const float*>(halves + 1);
}

__global__ void read_the_host(float* x) {
  x[threadIdx.x] = *reinterpret_cast<const float*>(std::uintptr_t{4096});
}

__global__ void write_past_a_shared_array(float* x) {
  INTERNVL_SHARED(float, first, 64);
  INTERNVL_SHARED(float, second, 64);
  second[threadIdx.x] = 0.0f;
  first[threadIdx.x + 1] = x[threadIdx.x];
}

__global__ void carve_beyond_dynamic_memory(float* x) {
  float* tile = internvl::cuda::dynamic_shared<float>(16, 64);
  tile[threadIdx.x] = x[threadIdx.x];
}

__global__ void carve_overlapping_memory(float* x) {
  float* tile = internvl::cuda::dynamic_shared<float>(0, 12);
  float* other = internvl::cuda::dynamic_shared<float>(32, 8);
  if (threadIdx.x == 0) tile[0] = other[0] = x[0];
}

__global__ void read_undefined_shared_memory(float* x) {
  INTERNVL_SHARED(float, tile, 64);
  if (threadIdx.x % 2 == 0) tile[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = tile[threadIdx.x];
}

__global__ void read_undefined_global_memory(float*, float* undefined) {
  undefined[threadIdx.x] = undefined[threadIdx.x] + 1.0f;
}

__global__ void race_write_then_read(float* x) {
  INTERNVL_SHARED(float, tile, 64);
  tile[threadIdx.x] = x[threadIdx.x];
  x[threadIdx.x] = tile[(threadIdx.x + 1) % 64];
}

__global__ void race_read_then_write(float* x) {
  INTERNVL_SHARED(float, tile, 64);
  tile[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  const float other = tile[(threadIdx.x + 32) % 64];
  tile[threadIdx.x] = other;
}

__global__ void race_of_two_writes(float* x) {
  INTERNVL_SHARED(float, tile, 1);
  tile[0] = x[threadIdx.x];
}

__global__ void race_after_a_warp_barrier(float* x) {
  INTERNVL_SHARED(float, tile, 64);
  tile[threadIdx.x] = x[threadIdx.x];
  __syncwarp();
  x[threadIdx.x] = tile[(threadIdx.x + 32) % 64];
}

__global__ void race_in_global_memory(float* x) { x[0] = 1.0f; }

__global__ void race_of_blocks(float* x) {
  if (threadIdx.x == 0) x[blockIdx.x] = x[1 - blockIdx.x];
}

__global__ void race_with_an_atomic(float* x) {
  atomicAdd(x, 1.0f);
  if (threadIdx.x == 7) x[1] = x[0];
}

__global__ void barrier_without_all(float* x) {
  if (threadIdx.x < 32) return;
  __syncthreads();
  x[threadIdx.x] = 0.0f;
}

__global__ void two_barriers_at_once(float* x) {
  if (threadIdx.x < 32) {
    __syncthreads();
    x[threadIdx.x] = 0.0f;
  } else {
    __syncthreads();
  }
}

__global__ void shuffle_with_an_ended_lane(float* x) {
  if (threadIdx.x == 5) return;
  x[threadIdx.x] = __shfl_xor_sync(kAllLanes, x[threadIdx.x], 1);
}

__global__ void shuffle_from_outside_the_mask(float* x) {
  if (threadIdx.x < 16) x[threadIdx.x] = __shfl_sync(0xffffu, x[threadIdx.x], 20);
}

__global__ void shuffle_without_itself(float* x) {
  x[threadIdx.x] = __shfl_sync(0xffffu, x[threadIdx.x], 0);
}

__global__ void shuffle_beside_a_barrier(float* x) {
  if (threadIdx.x % 32 == 0) {
    __syncthreads();
  } else {
    x[threadIdx.x] = __shfl_sync(kAllLanes, x[threadIdx.x], 1);
  }
}

__global__ void shuffle_beside_a_vote(float* x) {
  if (threadIdx.x % 2 == 0) {
    x[threadIdx.x] = __any_sync(kAllLanes, true);
  } else {
    x[threadIdx.x] = __shfl_sync(kAllLanes, x[threadIdx.x], 1);
  }
}

template <int kInFlight, bool kCommits>
__device__ void copy_and_read(float* x) {
  INTERNVL_SHARED(float, tile, 256);
  internvl::cuda::copy_async16(tile + 4 * threadIdx.x, x + threadIdx.x / 4 * 4, true);
  if (kCommits) internvl::cuda::commit_async();
  internvl::cuda::wait_async<kInFlight>();
  x[threadIdx.x] = tile[4 * threadIdx.x];
}

__global__ void read_an_unfinished_copy(float* x) { copy_and_read<1, true>(x); }
__global__ void wait_for_no_group(float* x) { copy_and_read<0, false>(x); }

__global__ void read_the_copy_of_another_thread(float* x) {
  INTERNVL_SHARED(float, tile, 256);
  internvl::cuda::copy_async16(tile + 4 * threadIdx.x, x + threadIdx.x / 4 * 4, true);
  internvl::cuda::commit_async();
  internvl::cuda::wait_async<0>();
  x[threadIdx.x] = tile[4 * (threadIdx.x ^ 1)];
}

__global__ void copy_past_the_end(float* x) {
  INTERNVL_SHARED(float, tile, 256);
  internvl::cuda::copy_async16(tile + 4 * threadIdx.x, x + 4 * threadIdx.x, true);
  internvl::cuda::commit_async();
  internvl::cuda::wait_async<0>();
}

__global__ void end_before_a_copy(float* x) {
  INTERNVL_SHARED(float, tile, 256);
  internvl::cuda::copy_async16(tile + 4 * threadIdx.x, x, true);
  internvl::cuda::commit_async();
}

__global__ void innocent(float* x) {
  INTERNVL_SHARED(float, tile, 256);
  float* sums = internvl::cuda::dynamic_shared<float>(0, 16);
  internvl::cuda::copy_async16(tile + 4 * threadIdx.x, x + threadIdx.x / 4 * 4, true);
  internvl::cuda::commit_async();
  internvl::cuda::wait_async<0>();
  __syncthreads();
  const float other = tile[(4 * threadIdx.x + 4) % 256 + threadIdx.x % 4];
  __syncthreads();
  tile[threadIdx.x] = other;
  __syncwarp();
  const float neighbour = tile[threadIdx.x ^ 1];
  __syncwarp();
  tile[threadIdx.x] = neighbour;
  const float sum = internvl::cuda::sum_block(tile[threadIdx.x], sums);
  if (__all_sync(kAllLanes, sum != 0.0f)) x[threadIdx.x] = sum;
}

struct Sin {
  const char* name;
  void (*kernel)(float*);
};

#define SIN(name) \
  { #name, name }
constexpr Sin kSins[] = {SIN(write_past_the_end),
                         SIN(read_past_the_end),
                         SIN(read_a_vector_past_the_end),
                         SIN(read_a_misaligned_vector),
                         SIN(read_a_misaligned_word),
                         SIN(read_the_host),
                         SIN(write_past_a_shared_array),
                         SIN(carve_beyond_dynamic_memory),
                         SIN(carve_overlapping_memory),
                         SIN(read_undefined_shared_memory),
                         SIN(race_write_then_read),
                         SIN(race_read_then_write),
                         SIN(race_of_two_writes),
                         SIN(race_after_a_warp_barrier),
                         SIN(race_in_global_memory),
                         SIN(race_of_blocks),
                         SIN(race_with_an_atomic),
                         SIN(barrier_without_all),
                         SIN(two_barriers_at_once),
                         SIN(shuffle_with_an_ended_lane),
                         SIN(shuffle_from_outside_the_mask),
                         SIN(shuffle_without_itself),
                         SIN(shuffle_beside_a_barrier),
                         SIN(shuffle_beside_a_vote),
                         SIN(read_an_unfinished_copy),
                         SIN(wait_for_no_group),
                         SIN(read_the_copy_of_another_thread),
                         SIN(copy_past_the_end),
                         SIN(end_before_a_copy),
                         {"innocent", innocent}};

}  // namespace

extern "C" {

/// Runs the kernel of this name on 64 floats with `blocks` blocks of 64 threads.
const char* run_sin(const char* name, float* x, std::int64_t blocks) {
  return internvl::cuda::test::guarded([&] {
    for (const Sin& candidate : kSins) {
      if (std::string(name) == candidate.name) {
        internvl::cuda::launch(candidate.kernel, {static_cast<unsigned>(blocks)}, kThreads, 64,
                               nullptr, x);
        return;
      }
    }
    throw std::runtime_error(std::string("no sin of the name ") + name);
  });
}

const char* run_undefined(float* x, float* undefined) {
  return internvl::cuda::test::guarded([&] {
    internvl::cuda::launch(read_undefined_global_memory, {1}, kThreads, 0, nullptr, x, undefined);
  });
}
}
