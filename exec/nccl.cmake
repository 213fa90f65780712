# The NCCL transport joins the CUDA module where NCCL is found. PW_NCCL_SOURCES are also what its
# tests on the CPU are made of.
set(PW_NCCL_SOURCES
  transport_nccl.c nccl_agree.c nccl_layout.c nccl_queue.c nccl_setup.c nccl_watch.c)
list(TRANSFORM PW_NCCL_SOURCES PREPEND "${CMAKE_CURRENT_LIST_DIR}/")
if(PW_NCCL)
  pw_add_cuda_module(
    SOURCES ${PW_NCCL_SOURCES}
      "${CMAKE_CURRENT_LIST_DIR}/nccl_module.c" "${CMAKE_CURRENT_LIST_DIR}/channels.c"
    PACKAGES NCCL::nccl Threads::Threads)
endif()
