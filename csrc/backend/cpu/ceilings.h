// The machine's own limits, measured beside the kernels that are judged by them.
#pragma once

#include "backend/cpu/kernels.h"
#include "core/buffer.h"

namespace internvl::cpu {

/// Seconds. With one thread they are its CPU time, so that other programs do not count.
double benchmark_clock();

/// Floating-point operations a second of all threads on registers, in the arithmetic that linear
/// operations use for weights of this dtype. Takes about ten milliseconds.
double peak_flops(const Kernels& kernels, DType weights);

/// Bytes a second when all threads read `memory` once.
double stream_bandwidth(const Kernels& kernels, const Buffer& memory);

}  // namespace internvl::cpu
