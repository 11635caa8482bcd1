# cuDNN's fused attention, beside our own kernels. VIGOR_CUDNN=auto takes it where cudnn.h (CUDA toolkit) and the header
# cudnn_frontend.h are found, on insists, off leaves it out. The second comes with: pip install nvidia-cudnn-frontend
# Nothing links libcudnn: the program opens it when it is asked for.
set(VIGOR_CUDNN auto CACHE STRING "cuDNN's attention: auto, on or off")
set_property(CACHE VIGOR_CUDNN PROPERTY STRINGS auto on off)
set(CUDNN_FRONTEND_INCLUDE_DIR "" CACHE PATH "Folder of cudnn_frontend.h, when it is not found by itself")

set(VIGOR_HAVE_CUDNN OFF)
if(VIGOR_WITH_CUDA AND NOT VIGOR_CUDNN STREQUAL "off")
  # Where pip puts headers, in the active virtual environment or in one beside the sources.
  file(GLOB site_packages "$ENV{VIRTUAL_ENV}/lib/python3*/site-packages" "${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages")
  set(frontend_hints "${CUDNN_FRONTEND_INCLUDE_DIR}")
  set(cudnn_hints ${CUDAToolkit_INCLUDE_DIRS})
  foreach(folder IN LISTS site_packages)
    list(APPEND frontend_hints "${folder}/include")
    list(APPEND cudnn_hints "${folder}/nvidia/cudnn/include")
  endforeach()
  find_path(VIGOR_CUDNN_INCLUDE cudnn.h HINTS ${cudnn_hints})
  find_path(VIGOR_CUDNN_FRONTEND_INCLUDE cudnn_frontend.h HINTS ${frontend_hints})
  if(VIGOR_CUDNN_INCLUDE AND VIGOR_CUDNN_FRONTEND_INCLUDE)
    set(VIGOR_HAVE_CUDNN ON)
  endif()
endif()
if(VIGOR_CUDNN STREQUAL "on" AND NOT VIGOR_HAVE_CUDNN)
  message(FATAL_ERROR "VIGOR_CUDNN=on needs the CUDA half, cudnn.h (${VIGOR_CUDNN_INCLUDE}) and cudnn_frontend.h "
                      "(${VIGOR_CUDNN_FRONTEND_INCLUDE}): pip install nvidia-cudnn-frontend and pass "
                      "-DCUDNN_FRONTEND_INCLUDE_DIR=<site-packages>/include; -DVIGOR_CUDNN=off leaves it out")
endif()
if(VIGOR_WITH_CUDA)
  message(STATUS "vigor: cuDNN's attention: ${VIGOR_HAVE_CUDNN}")
endif()
