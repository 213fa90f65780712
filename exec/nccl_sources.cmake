# The NCCL transport's files, for the module (nccl.cmake) and for its tests on the CPU.
set(PW_NCCL_SOURCES
  transport_nccl.c nccl_agree.c nccl_layout.c nccl_queue.c nccl_setup.c nccl_watch.c)
list(TRANSFORM PW_NCCL_SOURCES PREPEND "${CMAKE_CURRENT_LIST_DIR}/")
