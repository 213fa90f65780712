# CUDNN_FOUND, CUDNN_INCLUDE_DIR, CUDNN_VERSION, and CUDNN_LIBRARY_FOLDER where the library is there,
# too: it is opened when it is first used. CUDNN_ROOT and the CUDA toolkit's folders are looked at first.
find_path(CUDNN_INCLUDE_DIR cudnn_graph.h HINTS ${CUDAToolkit_INCLUDE_DIRS} ${PW_CUDA_INCLUDE_DIR})
find_library(CUDNN_LIBRARY NAMES cudnn libcudnn.so.9
  HINTS ${CUDAToolkit_LIBRARY_DIR} "${CUDAToolkit_LIBRARY_ROOT}/lib" "${CUDAToolkit_LIBRARY_ROOT}/lib64"
    "${CUDNN_INCLUDE_DIR}/../lib")
if(CUDNN_INCLUDE_DIR)
  file(STRINGS "${CUDNN_INCLUDE_DIR}/cudnn_version.h" lines
    REGEX "^#define CUDNN_(MAJOR|MINOR|PATCHLEVEL) +[0-9]+")
  string(REGEX REPLACE "[^0-9;]" "" numbers "${lines}")
  string(REPLACE ";" "." CUDNN_VERSION "${numbers}")
endif()
if(CUDNN_LIBRARY)
  get_filename_component(CUDNN_LIBRARY_FOLDER "${CUDNN_LIBRARY}" DIRECTORY)
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CUDNN REQUIRED_VARS CUDNN_INCLUDE_DIR VERSION_VAR CUDNN_VERSION)
mark_as_advanced(CUDNN_INCLUDE_DIR CUDNN_LIBRARY)
