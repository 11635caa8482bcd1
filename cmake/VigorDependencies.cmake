# Required libraries fail with their Debian package; optional ones are used when found. One line says what was chosen.
macro(vigor_require name package)
  find_package(${name} ${ARGN} QUIET)
  if(NOT ${name}_FOUND)
    message(FATAL_ERROR "Vigor needs ${name}. On Debian: apt-get install ${package}  (./vigor does this by itself)")
  endif()
endmacro()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
vigor_require(fmt libfmt-dev)
vigor_require(nlohmann_json nlohmann-json3-dev)
vigor_require(CLI11 libcli11-dev)
vigor_require(ICU libicu-dev COMPONENTS uc i18n)
vigor_require(libzip "libzip-dev zipcmp zipmerge ziptool")  # its CMake files want the tools too

find_package(OpenMP QUIET COMPONENTS CXX)
# CPU matrix products beside our own kernels: each is optional, the choice is made per shape by measurement.
find_package(dnnl QUIET)
find_library(VIGOR_OPENBLAS_LIBRARY NAMES openblas PATH_SUFFIXES openblas-openmp)
find_path(VIGOR_OPENBLAS_INCLUDE NAMES cblas.h PATH_SUFFIXES openblas-openmp)

if(VIGOR_BUILD_TESTS)
  vigor_require(GTest libgtest-dev)
endif()
if(VIGOR_BUILD_BENCH)
  find_package(benchmark QUIET)
endif()

function(vigor_report label found)
  if(found)
    message(STATUS "vigor: ${label}: yes")
  else()
    message(STATUS "vigor: ${label}: no")
  endif()
endfunction()
vigor_report("OpenMP threads" "${OpenMP_CXX_FOUND}")
vigor_report("oneDNN products" "${dnnl_FOUND}")
vigor_report("OpenBLAS products" "${VIGOR_OPENBLAS_LIBRARY}")
