# Benchmarks of a device. With one, CTest runs them at tiny sizes under the label gpu; without one
# they skip themselves. On the fakes of tests/device they are run everywhere, so that they do not rot.
# bench/gpu.sh runs them at full size.
set(names cuda_products cuda_ops)
if(PW_CUDA_MODULE)
  foreach(name IN LISTS names)
    add_executable(bench_${name}
      ${CMAKE_CURRENT_LIST_DIR}/bench_${name}.c ${CMAKE_CURRENT_LIST_DIR}/gpu_bench.c
      ${CMAKE_CURRENT_LIST_DIR}/gpu_backend_module.c)
    target_link_libraries(bench_${name} PRIVATE pw_flags pw_kernels CUDA::cudart CUDA::cublasLt)
    target_include_directories(bench_${name} SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
    add_dependencies(bench_${name} pw_cuda)
    add_test(NAME bench_${name} COMMAND bench_${name} --tiny --module $<TARGET_FILE:pw_cuda>)
    set_tests_properties(bench_${name} PROPERTIES LABELS gpu SKIP_RETURN_CODE 77 TIMEOUT 120)
  endforeach()
endif()

if(TARGET pw_cuda_backend)
  enable_language(CXX)
  foreach(name IN LISTS names)
    add_executable(bench_${name}_on_cpu
      ${CMAKE_CURRENT_LIST_DIR}/bench_${name}.c ${CMAKE_CURRENT_LIST_DIR}/gpu_bench.c
      ${CMAKE_CURRENT_LIST_DIR}/gpu_backend_linked.c)
    set_target_properties(bench_${name}_on_cpu PROPERTIES LINKER_LANGUAGE CXX)
    target_link_libraries(bench_${name}_on_cpu PRIVATE pw_flags pw_cuda_backend pw_kernels)
    add_test(NAME bench_${name}_on_cpu COMMAND bench_${name}_on_cpu --tiny)
    set_tests_properties(bench_${name}_on_cpu PROPERTIES
      LABELS "cuda-on-cpu;threads" TIMEOUT 300 ENVIRONMENT "G_SLICE=always-malloc;PW_CUDNN=0")
  endforeach()
endif()

# The script that a device is tested with, as far as that goes without one.
if(PW_CUDA_MODULE)
  set(fakes "")
  if(TARGET shipped_backend_bodies)
    set(fakes $<TARGET_FILE_DIR:pw_fake_cudart> $<TARGET_FILE:shipped_backend_bodies>)
  endif()
  add_test(NAME bench_gpu_script
    COMMAND ${CMAKE_CURRENT_LIST_DIR}/gpu_test.sh ${PROJECT_BINARY_DIR} ${fakes})
  set_tests_properties(bench_gpu_script PROPERTIES TIMEOUT 300 COST 15)
endif()
