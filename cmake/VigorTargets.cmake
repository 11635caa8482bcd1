# The three ways a folder joins the build.

# Instruction sets that *_simd.cpp files are compiled for, one object library each; tensor/simd.h picks at run time.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(VIGOR_ISAS portable avx2 avx512)
  set(VIGOR_ISA_FLAGS_portable "")
  set(VIGOR_ISA_FLAGS_avx2 -mavx2 -mfma -mf16c -mbmi2)
  set(VIGOR_ISA_FLAGS_avx512 -mavx2 -mfma -mf16c -mbmi2 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  set(VIGOR_ISAS portable neon)
  set(VIGOR_ISA_FLAGS_portable "")
  set(VIGOR_ISA_FLAGS_neon "")
else()
  set(VIGOR_ISAS portable)
  set(VIGOR_ISA_FLAGS_portable "")
endif()

# vigor_library(room SOURCES... LINK targets...): the static library vigor_<room>, exported as vigor::<room>.
function(vigor_library room)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;PRIVATE" ${ARGN})
  add_library(vigor_${room} STATIC ${ARG_SOURCES})
  add_library(vigor::${room} ALIAS vigor_${room})
  set_target_properties(vigor_${room} PROPERTIES EXPORT_NAME ${room})
  target_compile_features(vigor_${room} PUBLIC cxx_std_20)
  target_include_directories(vigor_${room} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:include/vigor>)
  target_link_libraries(vigor_${room} PUBLIC ${ARG_LINK} PRIVATE vigor_flags ${ARG_PRIVATE})
  if(OpenMP_CXX_FOUND)
    target_link_libraries(vigor_${room} PRIVATE OpenMP::OpenMP_CXX)
  endif()
  set_property(GLOBAL APPEND PROPERTY VIGOR_LIBRARIES vigor_${room})
endfunction()

# vigor_simd_sources(room files...): compiles each file once for every instruction set, in namespace VIGOR_ISA.
function(vigor_simd_sources room)
  foreach(isa IN LISTS VIGOR_ISAS)
    set(object vigor_${room}_${isa})
    if(NOT TARGET ${object})
      add_library(${object} OBJECT)
      target_compile_features(${object} PRIVATE cxx_std_20)
      target_compile_definitions(${object} PRIVATE VIGOR_ISA=${isa} VIGOR_ISA_IS_${isa}=1)
      target_compile_options(${object} PRIVATE ${VIGOR_ISA_FLAGS_${isa}})
      target_include_directories(${object} PRIVATE ${PROJECT_SOURCE_DIR})
      target_link_libraries(${object} PRIVATE vigor_flags fmt::fmt)
      if(OpenMP_CXX_FOUND)
        target_link_libraries(${object} PRIVATE OpenMP::OpenMP_CXX)
      endif()
      target_sources(vigor_${room} PRIVATE $<TARGET_OBJECTS:${object}>)
      if(VIGOR_BUILD_TESTS)
        add_test(NAME simd_symbols_${room}_${isa} COMMAND_EXPAND_LISTS
          COMMAND ${PROJECT_SOURCE_DIR}/scripts/check-simd-symbols ${isa} $<TARGET_OBJECTS:${object}>)
      endif()
    endif()
    target_sources(${object} PRIVATE ${ARGN})
  endforeach()
endfunction()

# vigor_cuda_sources(room files...): the CUDA half of a room; nothing in a build without CUDA.
function(vigor_cuda_sources room)
  if(NOT VIGOR_WITH_CUDA OR NOT ARGN)
    return()
  endif()
  target_sources(vigor_${room} PRIVATE ${ARGN})
  # The shared runtime: the emulated device puts its own in its place.
  set_target_properties(vigor_${room} PROPERTIES CUDA_RUNTIME_LIBRARY Shared LINKER_LANGUAGE CXX)
  target_include_directories(vigor_${room} SYSTEM PUBLIC $<BUILD_INTERFACE:${CUDAToolkit_INCLUDE_DIRS}>)
  target_link_libraries(vigor_${room} PUBLIC CUDA::cudart)
  target_compile_definitions(vigor_${room} INTERFACE VIGOR_WITH_CUDA)  # for users of the installed package
endfunction()

# vigor_operation(name): adds the folder kernels/<name>. File names say where each file goes:
#   <x>_simd.cpp  plain kernels, once for every instruction set     <x>_cpu.cpp         plain kernels
#   <x>_cuda.cu   CUDA kernels with their launchers                  <x>_cuda.cpp        CUDA half without kernels
#   <x>_test.cpp  a test program                                     <x>_cuda_test.cpp   one for the emulated device
#   other .cpp    the public operation
function(vigor_operation name)
  set(folder ${CMAKE_CURRENT_SOURCE_DIR}/${name})
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.cpp ${folder}/*_cuda.cu)
  foreach(source IN LISTS sources)
    if(source MATCHES "_cuda\\.(cu|cpp)$")
      vigor_cuda_sources(kernels ${source})
    elseif(source MATCHES "_cuda_test\\.cpp$")
      get_filename_component(test ${source} NAME_WE)
      vigor_cuda_test(${test} SOURCES ${source} LINK vigor_operations)
    elseif(source MATCHES "_simd\\.cpp$")
      vigor_simd_sources(kernels ${source})
    elseif(source MATCHES "_cpu\\.cpp$")
      target_sources(vigor_kernels PRIVATE ${source})
    elseif(source MATCHES "_test\\.cpp$")
      get_filename_component(test ${source} NAME_WE)
      vigor_test(${test} SOURCES ${source} LINK vigor_operations)
    else()
      target_sources(vigor_operations PRIVATE ${source})
    endif()
  endforeach()
endfunction()

# vigor_compile_quickly(target): for code that does little work but takes long to compile (tests, JSON, command lines):
# sanitizers double that time, so their builds leave it unoptimised. Fuzz targets want speed all the same.
function(vigor_compile_quickly target)
  if(VIGOR_SANITIZE AND NOT VIGOR_BUILD_FUZZ)
    target_compile_options(${target} PRIVATE -O0)
  endif()
endfunction()

# vigor_test(name SOURCES ... LINK ...): one GoogleTest program, one ctest entry.
function(vigor_test name)
  if(NOT VIGOR_BUILD_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} vigor_flags GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE VIGOR_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  # Compiling a test costs more than running it, and what it tests is in the libraries.
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)
  vigor_compile_quickly(${name})
  if(OpenMP_CXX_FOUND)
    target_link_libraries(${name} PRIVATE OpenMP::OpenMP_CXX)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  # Tests share the machine with each other: threads that spin while they wait would slow all of them down 30 times.
  set_tests_properties(${name} PROPERTIES ENVIRONMENT OMP_WAIT_POLICY=passive)
endfunction()

# vigor_folder_tests(target): every <x>_test.cpp and <x>_cuda_test.cpp of the current folder, linked to `target`.
function(vigor_folder_tests target)
  file(GLOB tests CONFIGURE_DEPENDS *_test.cpp)
  foreach(test IN LISTS tests)
    get_filename_component(name ${test} NAME_WE)
    if(name MATCHES "_cuda_test$")
      vigor_cuda_test(${name} SOURCES ${test} LINK ${target})
    else()
      vigor_test(${name} SOURCES ${test} LINK ${target})
    endif()
  endforeach()
endfunction()

# vigor_cuda_test(name SOURCES ... LINK ...): a GoogleTest program for kCuda. ctest runs it on the emulated device with
# the full checker (label `emulated`); scripts/gpu-check runs the same program on a GPU.
function(vigor_cuda_test name)
  if(NOT VIGOR_WITH_CUDA)
    return()
  endif()
  vigor_test(${name} ${ARGN})
  if(VIGOR_BUILD_TESTS)
    set_tests_properties(${name} PROPERTIES LABELS emulated TIMEOUT 120
      ENVIRONMENT "OMP_WAIT_POLICY=passive;LD_LIBRARY_PATH=${PROJECT_BINARY_DIR}/emulated;VIGOR_EMULATOR_CHECK=full")
    if(TARGET vigor_emulator)
      add_dependencies(${name} vigor_emulator)
    endif()
  endif()
endfunction()
