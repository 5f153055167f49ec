// The numbers of csrc/cuda/cudnn.h are those of cuDNN's header. Compiled, never run.
#include <cudnn_graph.h>

#include "cuda/cudnn.h"

namespace internvl::cuda {

#define SAME(ours, theirs) static_assert(static_cast<int>(ours) == static_cast<int>(theirs))

SAME(kCudnnSuccess, CUDNN_STATUS_SUCCESS);

SAME(CudnnKind::kEngineConfig, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
SAME(CudnnKind::kHeuristics, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
SAME(CudnnKind::kPlan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
SAME(CudnnKind::kGraph, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
SAME(CudnnKind::kVariantPack, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
SAME(CudnnKind::kTensor, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
SAME(CudnnKind::kAttention, CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR);

SAME(CudnnAttribute::kHeuristicsMode, CUDNN_ATTR_ENGINEHEUR_MODE);
SAME(CudnnAttribute::kHeuristicsGraph, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
SAME(CudnnAttribute::kHeuristicsResults, CUDNN_ATTR_ENGINEHEUR_RESULTS);
SAME(CudnnAttribute::kPlanHandle, CUDNN_ATTR_EXECUTION_PLAN_HANDLE);
SAME(CudnnAttribute::kPlanEngineConfig, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
SAME(CudnnAttribute::kPlanWorkspaceSize, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
SAME(CudnnAttribute::kGraphHandle, CUDNN_ATTR_OPERATIONGRAPH_HANDLE);
SAME(CudnnAttribute::kGraphOperations, CUDNN_ATTR_OPERATIONGRAPH_OPS);
SAME(CudnnAttribute::kTensorAlignment, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
SAME(CudnnAttribute::kTensorType, CUDNN_ATTR_TENSOR_DATA_TYPE);
SAME(CudnnAttribute::kTensorDimensions, CUDNN_ATTR_TENSOR_DIMENSIONS);
SAME(CudnnAttribute::kTensorStrides, CUDNN_ATTR_TENSOR_STRIDES);
SAME(CudnnAttribute::kTensorId, CUDNN_ATTR_TENSOR_UNIQUE_ID);
SAME(CudnnAttribute::kTensorIsByValue, CUDNN_ATTR_TENSOR_IS_BY_VALUE);
SAME(CudnnAttribute::kPackIds, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
SAME(CudnnAttribute::kPackPointers, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
SAME(CudnnAttribute::kPackWorkspace, CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
SAME(CudnnAttribute::kAttentionQ, CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC);
SAME(CudnnAttribute::kAttentionK, CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC);
SAME(CudnnAttribute::kAttentionV, CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC);
SAME(CudnnAttribute::kAttentionOut, CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC);
SAME(CudnnAttribute::kAttentionScale, CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC);

SAME(CudnnType::kHandle, CUDNN_TYPE_HANDLE);
SAME(CudnnType::kDataType, CUDNN_TYPE_DATA_TYPE);
SAME(CudnnType::kBoolean, CUDNN_TYPE_BOOLEAN);
SAME(CudnnType::kInt64, CUDNN_TYPE_INT64);
SAME(CudnnType::kPointer, CUDNN_TYPE_VOID_PTR);
SAME(CudnnType::kHeuristicMode, CUDNN_TYPE_HEUR_MODE);
SAME(CudnnType::kObject, CUDNN_TYPE_BACKEND_DESCRIPTOR);

SAME(CudnnDataType::kFloat32, CUDNN_DATA_FLOAT);
SAME(CudnnDataType::kFloat16, CUDNN_DATA_HALF);
SAME(CudnnDataType::kBFloat16, CUDNN_DATA_BFLOAT16);
SAME(CudnnHeuristicMode::kA, CUDNN_HEUR_MODE_A);

}  // namespace internvl::cuda
