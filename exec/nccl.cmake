# The NCCL transport joins the CUDA module where NCCL is found.
include(nccl_sources.cmake)
if(PW_NCCL)
  pw_add_cuda_module(
    SOURCES ${PW_NCCL_SOURCES}
      "${CMAKE_CURRENT_LIST_DIR}/nccl_module.c" "${CMAKE_CURRENT_LIST_DIR}/channels.c"
    PACKAGES NCCL::nccl Threads::Threads)
endif()
