# The CUDA half. VIGOR_CUDA=auto takes it where nvcc is found, on insists, off leaves it out.
#
# The machine code is made for VIGOR_CUDA_ARCHITECTURES, by default that of this machine's GPU. PTX for compute_80 is
# always in the program, uncompressed: other GPUs compile it when it loads, and the emulated device (kernels/emulator)
# executes it.
set(VIGOR_CUDA auto CACHE STRING "CUDA kernels: auto, on or off")
set_property(CACHE VIGOR_CUDA PROPERTY STRINGS auto on off)
set(VIGOR_CUDA_ARCHITECTURES native CACHE STRING
  "GPU generations to compile machine code for, as in 80;90;120; native: this machine's; empty: PTX only")

set(VIGOR_WITH_CUDA OFF)
if(NOT VIGOR_CUDA STREQUAL "off")
  find_program(VIGOR_NVCC nvcc HINTS ENV CUDACXX ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
  if(VIGOR_NVCC)
    set(CMAKE_CUDA_COMPILER "${VIGOR_NVCC}" CACHE FILEPATH "nvcc")
    set(CMAKE_CUDA_ARCHITECTURES OFF)  # the flags below name them
    set(CMAKE_CUDA_FLAGS_INIT "-gencode=arch=compute_80,code=compute_80")  # for the compiler's first test
    set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
    enable_language(CUDA)
    find_package(CUDAToolkit QUIET)
    if(CUDAToolkit_FOUND AND CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.8)
      set(VIGOR_WITH_CUDA ON)
    endif()
  endif()
  if(VIGOR_CUDA STREQUAL "on" AND NOT VIGOR_WITH_CUDA)
    message(FATAL_ERROR "VIGOR_CUDA=on needs the CUDA toolkit, 12.8 or newer: nvcc was ${VIGOR_NVCC}. "
                        "Put it on PATH or set CUDA_HOME; -DVIGOR_CUDA=off builds the CPU half alone")
  endif()
endif()

if(VIGOR_WITH_CUDA)
  set(VIGOR_CUDA_CODE ${VIGOR_CUDA_ARCHITECTURES})
  if(VIGOR_CUDA_CODE STREQUAL "native")
    execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader OUTPUT_VARIABLE capability
                    RESULT_VARIABLE status ERROR_QUIET)
    set(VIGOR_CUDA_CODE "")
    if(status EQUAL 0 AND capability MATCHES "^([0-9]+)\\.([0-9]+)")
      set(VIGOR_CUDA_CODE ${CMAKE_MATCH_1}${CMAKE_MATCH_2})
    endif()
  endif()
  # CMake 3.25 does not know that nvcc takes C++20.
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA_FLAGS "-gencode=arch=compute_80,code=compute_80 --no-compress -lineinfo")
  foreach(architecture IN LISTS VIGOR_CUDA_CODE)
    string(APPEND CMAKE_CUDA_FLAGS " -gencode=arch=compute_${architecture},code=sm_${architecture}")
  endforeach()
  # -O3 -DNDEBUG as for C++; host warnings as there, device warnings by nvcc itself.
  set(CMAKE_CUDA_FLAGS_RELEASE "-O3 -DNDEBUG")
  string(APPEND CMAKE_CUDA_FLAGS " -Xcompiler=-Wall,-Wextra,-fPIC")
  if(VIGOR_WERROR)
    string(APPEND CMAKE_CUDA_FLAGS " -Werror=all-warnings")
  endif()
  if(CCACHE_PROGRAM AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
    set(CMAKE_CUDA_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
  endif()
  # nvcc cannot evaluate fmt's format strings while it compiles; they are checked when they are used.
  add_compile_definitions(VIGOR_WITH_CUDA $<$<COMPILE_LANGUAGE:CUDA>:FMT_CONSTEVAL=> $<$<COMPILE_LANGUAGE:CUDA>:FMT_USE_CONSTEXPR=1>)
  message(STATUS "vigor: CUDA kernels: yes (nvcc ${CMAKE_CUDA_COMPILER_VERSION}, PTX and machine code for: ${VIGOR_CUDA_CODE})")
else()
  message(STATUS "vigor: CUDA kernels: no")
endif()
