# Enables CUDA where nvcc and cuBLAS' headers are found, in the wheels nvidia-cuda-nvcc and
# nvidia-cublas or in a CUDA toolkit; with INTERNVL_NATIVE_CUDA=ON, stops where they are not.
# Sets INTERNVL_NATIVE_CUBLAS_INCLUDE and INTERNVL_NATIVE_CUDA_LIBRARIES.
set(oldest_nvcc 12.4)

include(CheckLanguage)
if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 86-real 89-real 90a-real 90-virtual)
endif()

execute_process(
  COMMAND ${Python_EXECUTABLE} -c "import importlib.util
spec = importlib.util.find_spec('nvidia')
print(*(spec.submodule_search_locations if spec else []), sep=';', end='')"
  OUTPUT_VARIABLE wheels)
list(TRANSFORM wheels APPEND /cu13)
find_program(INTERNVL_NATIVE_NVCC nvcc PATHS ${wheels} /usr/local/cuda PATH_SUFFIXES bin)
if(INTERNVL_NATIVE_NVCC AND NOT DEFINED ENV{CUDACXX})
  set(ENV{CUDACXX} ${INTERNVL_NATIVE_NVCC})
endif()
# nvcc looks for CUDA's runtime in lib64; wheels have it in lib.
list(TRANSFORM wheels APPEND /lib OUTPUT_VARIABLE INTERNVL_NATIVE_CUDA_LIBRARIES)
list(JOIN INTERNVL_NATIVE_CUDA_LIBRARIES : libraries)
set(ENV{LIBRARY_PATH} "${libraries}:$ENV{LIBRARY_PATH}")
check_language(CUDA)

find_path(INTERNVL_NATIVE_CUBLAS_INCLUDE cublasLt.h PATHS ${wheels} /usr/local/cuda
          PATH_SUFFIXES include)

set(missing "")
if(NOT CMAKE_CUDA_COMPILER)
  set(missing "nvcc ${oldest_nvcc} or newer (set CUDACXX to its path)")
elseif(NOT INTERNVL_NATIVE_CUBLAS_INCLUDE)
  set(missing "cublasLt.h: pip install nvidia-cublas")
else()
  enable_language(CUDA)
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS oldest_nvcc)
    set(missing "nvcc ${oldest_nvcc} or newer, found ${CMAKE_CUDA_COMPILER_VERSION}")
  endif()
endif()
if(missing)
  if(NOT INTERNVL_NATIVE_CUDA STREQUAL AUTO)
    message(FATAL_ERROR "  INTERNVL_NATIVE_CUDA=${INTERNVL_NATIVE_CUDA}: the CUDA backend needs "
                        "${missing}")
  endif()
  message(STATUS "Without the CUDA backend, which needs ${missing}")
  set(CMAKE_CUDA_COMPILER "")
endif()
