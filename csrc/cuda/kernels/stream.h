// cudaStream_t, without the headers of CUDA.
#pragma once

struct CUstream_st;

namespace internvl::cuda {

using Stream = CUstream_st*;

}  // namespace internvl::cuda
