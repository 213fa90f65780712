# The NCCL transport over the device side of the CUDA backend, no kernels.
include("${PROJECT_SOURCE_DIR}/exec/nccl_sources.cmake")
set(device device.c attention_no_cudnn.c devices.c handles.c clock.c staging.c pool.c steps.c graph.c errors.c product.c)
list(TRANSFORM device PREPEND "${PROJECT_SOURCE_DIR}/kernels/cuda/")
pw_add_cuda_on_cpu_test(device/nccl_transport
  SOURCES test_nccl_transport.c nccl_case.c ${PW_NCCL_SOURCES} ${device}
  MODULES exec schedules kernels PROCESSORS 2)
target_compile_definitions(test_device_nccl_transport PRIVATE PW_CUDA_LEAST_CAPABILITY=80)
