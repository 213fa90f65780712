# The CUDA backend's files, for the module (CMakeLists.txt) and for its tests on the CPU; included
# after find_package(CUDNN). Whoever compiles them defines PW_CUDA_LEAST_CAPABILITY: the least device
# they are made for, 80 for sm_80.
set(PW_CUDA_KERNELS
  activations.cu add.cu attention.cu colsum.cu concat.cu cross_entropy.cu dropout.cu embedding.cu mask.cu mse.cu
  norm.cu optimizers.cu position.cu square_sum.cu)
set(PW_CUDA_SOURCES
  table.c device.c devices.c handles.c clock.c staging.c pool.c steps.c graph.c errors.c ranges.c check.c product.c
  activations.c add.c attention.c concat.c cross_entropy.c dropout.c embedding.c gelu_bias.c layernorm.c linear.c mask.c mse.c
  optimizers.c position.c rmsnorm.c square_sum.c)
if(CUDNN_FOUND)
  list(APPEND PW_CUDA_SOURCES cudnn.c cudnn_plan.c attention_graph.c attention_cudnn.c)
else()
  list(APPEND PW_CUDA_SOURCES attention_no_cudnn.c)
endif()
list(TRANSFORM PW_CUDA_KERNELS PREPEND "${CMAKE_CURRENT_LIST_DIR}/")
list(TRANSFORM PW_CUDA_SOURCES PREPEND "${CMAKE_CURRENT_LIST_DIR}/")
