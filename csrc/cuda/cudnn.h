// What is used of cuDNN's graph API, which is opened at run time. The declarations are ours: cuDNN
// 9 keeps their numbers, and its header comes with 0.9 GB of libraries, which a build has no use
// for. tests/cuda/cudnn_numbers.cpp holds them against the header.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <string>
#include <vector>

namespace internvl::cuda {

/// The first cuDNN with attention as one operation, as cudnnGetVersion() counts.
constexpr std::size_t kOldestCudnn = 91301;

using CudnnHandle = struct CudnnContext*;
using CudnnObject = void*;  ///< cudnnBackendDescriptor_t
using CudnnStatus = int;    ///< 0: success
constexpr CudnnStatus kCudnnSuccess = 0;

/// cudnnBackendDescriptorType_t
enum class CudnnKind : int {
  kEngineConfig = 3,
  kHeuristics = 4,
  kPlan = 5,
  kGraph = 15,
  kVariantPack = 16,
  kTensor = 17,
  kAttention = 41,
};

/// cudnnBackendAttributeName_t
enum class CudnnAttribute : int {
  kHeuristicsMode = 200,
  kHeuristicsGraph = 201,
  kHeuristicsResults = 202,
  kPlanHandle = 400,
  kPlanEngineConfig = 401,
  kPlanWorkspaceSize = 402,
  kGraphHandle = 800,
  kGraphOperations = 801,
  kTensorAlignment = 900,
  kTensorType = 901,
  kTensorDimensions = 902,
  kTensorStrides = 903,
  kTensorId = 906,
  kTensorIsByValue = 908,
  kPackIds = 1000,
  kPackPointers = 1001,
  kPackWorkspace = 1003,
  kAttentionQ = 2800,
  kAttentionK = 2801,
  kAttentionV = 2802,
  kAttentionOut = 2803,
  kAttentionScale = 2805,
};

/// cudnnBackendAttributeType_t
enum class CudnnType : int {
  kHandle = 0,
  kDataType = 1,
  kBoolean = 2,
  kInt64 = 3,
  kPointer = 6,
  kHeuristicMode = 8,
  kObject = 15,
};

/// cudnnDataType_t
enum class CudnnDataType : int { kFloat32 = 0, kFloat16 = 2, kBFloat16 = 9 };

/// cudnnBackendHeurMode_t
enum class CudnnHeuristicMode : int { kA = 3 };

/// cuDNN's functions.
struct Cudnn {
  /// Looks into `folders`, then where the system does. Throws DeviceError, saying what to install,
  /// if there is none, or one that is too old or for another CUDA than ours: it ends the process
  /// where it does not find the cuBLASLt of its own CUDA, and ours is open.
  explicit Cudnn(const std::vector<std::string>& folders);

  /// Throws DeviceError naming `call` unless it succeeded.
  void check(CudnnStatus status, const char* call) const;

  std::size_t (*version)();
  std::size_t (*cuda_version)();  // as CUDART_VERSION
  const char* (*error_string)(CudnnStatus);
  CudnnStatus (*create)(CudnnHandle*);
  CudnnStatus (*destroy)(CudnnHandle);
  CudnnStatus (*set_stream)(CudnnHandle, cudaStream_t);
  CudnnStatus (*create_object)(CudnnKind, CudnnObject*);
  CudnnStatus (*destroy_object)(CudnnObject);
  CudnnStatus (*set_attribute)(CudnnObject, CudnnAttribute, CudnnType, std::int64_t count,
                               const void* values);
  CudnnStatus (*get_attribute)(CudnnObject, CudnnAttribute, CudnnType, std::int64_t asked,
                               std::int64_t* count, void* values);
  CudnnStatus (*finalize)(CudnnObject);
  CudnnStatus (*execute)(CudnnHandle, CudnnObject plan, CudnnObject pack);
};

}  // namespace internvl::cuda
