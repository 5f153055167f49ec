// What csrc/cuda uses of CUDA's driver (runtime.cpp): declarations as CUDA's header of this name
// has them. Nothing links them: the runtime finds their addresses.
#pragma once

#include <cstddef>

enum CUresult {
  CUDA_SUCCESS = 0,
  CUDA_ERROR_INVALID_VALUE = 1,
  CUDA_ERROR_INVALID_CONTEXT = 201,
};

using CUdevice = int;
using CUcontext = struct CUctx_st*;

CUresult cuDeviceGet(CUdevice* device, int ordinal);
CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device);
CUresult cuDevicePrimaryCtxRelease(CUdevice device);
CUresult cuCtxPushCurrent(CUcontext context);
CUresult cuCtxPopCurrent(CUcontext* context);
CUresult cuMemGetInfo(std::size_t* free, std::size_t* total);
