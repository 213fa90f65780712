# Functions that build .cu files for the CPU; CMakeLists.txt says what they are for.
set_property(GLOBAL PROPERTY PW_CUDA_ON_CPU_DIR "${CMAKE_CURRENT_SOURCE_DIR}")
set_property(GLOBAL PROPERTY PW_CUDA_ON_CPU_INCLUDES "${PW_CUDA_INCLUDE_DIR};${PW_NCCL_INCLUDE_DIR}")

# Where this machine has it: fmaf as one instruction instead of a call halves what kernels take, and
# changes no bit.
include(CheckCSourceRuns)
check_c_source_runs(
  "int main (void) { __builtin_cpu_init (); return !__builtin_cpu_supports (\"fma\"); }" PW_HOST_HAS_FMA)

# The .cu files' flags: those of pw_flags that a .cu file is held to, and nvcc's view of aliasing.
add_library(pw_cuda_on_cpu_flags INTERFACE)
target_include_directories(pw_cuda_on_cpu_flags INTERFACE "${PROJECT_SOURCE_DIR}")
target_include_directories(pw_cuda_on_cpu_flags SYSTEM INTERFACE
  "${PW_CUDA_INCLUDE_DIR}" "${PW_NCCL_INCLUDE_DIR}")
target_compile_features(pw_cuda_on_cpu_flags INTERFACE cxx_std_17)
target_compile_options(pw_cuda_on_cpu_flags INTERFACE
  -O1 -g1 -Wall -Wno-unknown-pragmas -Wno-unused-function
  -ffp-contract=off -fno-math-errno -fno-strict-aliasing $<$<BOOL:${PW_HOST_HAS_FMA}>:-mfma>
  -include "${CMAKE_CURRENT_SOURCE_DIR}/shim/cuda_on_cpu.h")
if(PW_SANITIZE)
  target_compile_options(pw_cuda_on_cpu_flags INTERFACE
    -fsanitize=${PW_SANITIZE} -fno-omit-frame-pointer)
endif()

# OUT: the rewritten .cpp of each .cu file in SOURCES. The second column of a row is the .cpp.
function(pw_rewrite_cuda out name)
  get_property(here GLOBAL PROPERTY PW_CUDA_ON_CPU_DIR)
  set(rewritten "")
  foreach(source IN LISTS ARGN)
    get_filename_component(path "${source}" ABSOLUTE)
    get_filename_component(base "${source}" NAME_WE)
    set(target "${CMAKE_CURRENT_BINARY_DIR}/${name}/${base}.cpp")
    add_custom_command(OUTPUT "${target}"
      COMMAND ${CMAKE_COMMAND} -E make_directory "${CMAKE_CURRENT_BINARY_DIR}/${name}"
      COMMAND Python3::Interpreter "${here}/shim/rewrite.py" "${path}" "${target}"
      DEPENDS "${path}" "${here}/shim/rewrite.py" VERBATIM)
    get_filename_component(folder "${path}" DIRECTORY)
    set_source_files_properties("${target}" PROPERTIES INCLUDE_DIRECTORIES "${folder}")
    list(APPEND rewritten "${target}")
  endforeach()
  set(${out} "${rewritten}" PARENT_SCOPE)
endfunction()

function(pw_add_cuda_on_cpu name)
  cmake_parse_arguments(ARG "" "" "SOURCES;MODULES;PACKAGES;DEFINITIONS" ${ARGN})
  get_property(includes GLOBAL PROPERTY PW_CUDA_ON_CPU_INCLUDES)
  set(cuda "${ARG_SOURCES}")
  list(FILTER cuda INCLUDE REGEX "\\.cu$")
  set(plain "${ARG_SOURCES}")
  list(FILTER plain EXCLUDE REGEX "\\.cu$")
  pw_rewrite_cuda(rewritten ${name} ${cuda})
  add_library(pw_${name}_kernels OBJECT ${rewritten})
  target_link_libraries(pw_${name}_kernels PRIVATE pw_cuda_on_cpu_flags)
  target_compile_definitions(pw_${name}_kernels PRIVATE ${ARG_DEFINITIONS})

  list(TRANSFORM ARG_MODULES PREPEND pw_)
  add_library(pw_${name} STATIC ${plain} $<TARGET_OBJECTS:pw_${name}_kernels>)
  set_target_properties(pw_${name} PROPERTIES LINKER_LANGUAGE CXX)
  target_include_directories(pw_${name} SYSTEM PUBLIC ${includes})
  target_link_libraries(pw_${name}
    PUBLIC ${ARG_MODULES} ${ARG_PACKAGES} pw_fake_nccl pw_fake_cublaslt pw_fake_cudart
    PRIVATE pw_flags)
  target_compile_definitions(pw_${name} PRIVATE PW_DEVICE_MEMORY_IS_HOST ${ARG_DEFINITIONS})
endfunction()

# All of pw_add_test's arguments. The label threads lets the thread sanitizer's build run it.
function(pw_add_cuda_on_cpu_test name)
  pw_add_test(${name} ${ARGN} LABELS cuda-on-cpu threads)
  string(REPLACE "/" "_" target "test_${name}")
  get_property(includes GLOBAL PROPERTY PW_CUDA_ON_CPU_INCLUDES)
  target_include_directories(${target} SYSTEM PRIVATE ${includes})
  target_link_libraries(${target} PRIVATE pw_fake_nccl pw_fake_cublaslt pw_fake_cudart)
  # GLib's own allocator hands blocks from thread to thread in ways ThreadSanitizer cannot see. A real
  # cuDNN would find no device; a test of the fake one sets PW_CUDNN itself.
  set_tests_properties(${name} PROPERTIES ENVIRONMENT "G_SLICE=always-malloc;PW_CUDNN=0")
endfunction()

# libNAME_bodies.so: the host's bodies of the kernels in OBJECTS, which nvcc made of SOURCES.
function(pw_add_cuda_bodies name)
  cmake_parse_arguments(ARG "" "" "SOURCES;OBJECTS;DEPENDS;DEFINITIONS" ${ARGN})
  get_property(here GLOBAL PROPERTY PW_CUDA_ON_CPU_DIR)
  pw_rewrite_cuda(rewritten ${name}_bodies ${ARG_SOURCES})
  set(bodies "")
  foreach(file IN LISTS rewritten)
    get_filename_component(base "${file}" NAME_WE)
    set(target "${CMAKE_CURRENT_BINARY_DIR}/${name}_bodies/${base}.registered.cpp")
    add_custom_command(OUTPUT "${target}"
      COMMAND Python3::Interpreter "${here}/shim/host_bodies.py" "${file}" "${target}" "${base}"
        "${ARG_OBJECTS}"
      DEPENDS "${file}" "${here}/shim/host_bodies.py" ${ARG_DEPENDS}
      COMMAND_EXPAND_LISTS VERBATIM)
    get_source_file_property(folder "${file}" INCLUDE_DIRECTORIES)
    set_source_files_properties("${target}" PROPERTIES INCLUDE_DIRECTORIES "${folder}")
    list(APPEND bodies "${target}")
  endforeach()
  add_library(${name}_bodies MODULE ${bodies})
  set_target_properties(${name}_bodies PROPERTIES PREFIX lib)
  target_compile_definitions(${name}_bodies PRIVATE ${ARG_DEFINITIONS})
  # nvcc's object has symbols of the same names, and is loaded first.
  target_link_options(${name}_bodies PRIVATE LINKER:-Bsymbolic)
  target_link_libraries(${name}_bodies PRIVATE pw_cuda_on_cpu_flags pw_fake_cudart)
endfunction()

# libNAME.so, as nvcc builds it and linked with nothing but the CUDA runtime's name; and its bodies.
function(pw_add_shipped_cuda name)
  cmake_parse_arguments(ARG "" "" "SOURCES" ${ARGN})
  set(objects "")
  foreach(source IN LISTS ARG_SOURCES)
    get_filename_component(path "${source}" ABSOLUTE)
    get_filename_component(base "${source}" NAME_WE)
    set(object "${CMAKE_CURRENT_BINARY_DIR}/${name}/${base}.cu.o")
    add_custom_command(OUTPUT "${object}"
      COMMAND ${CMAKE_COMMAND} -E make_directory "${CMAKE_CURRENT_BINARY_DIR}/${name}"
      COMMAND "${PW_NVCC}" -c -O2 -std=c++17 -Xcompiler -fPIC "-I${PROJECT_SOURCE_DIR}"
        -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90
        "${path}" -o "${object}"
      DEPENDS "${path}" VERBATIM)
    list(APPEND objects "${object}")
  endforeach()
  set(library "${CMAKE_CURRENT_BINARY_DIR}/lib${name}.so")
  add_custom_command(OUTPUT "${library}"
    COMMAND "${PW_NVCC}" -shared -cudart shared -Xlinker "-soname=lib${name}.so"
      ${objects} -o "${library}"
    DEPENDS ${objects} VERBATIM)
  add_custom_target(${name}_library DEPENDS "${library}")
  add_library(${name} SHARED IMPORTED GLOBAL)
  set_target_properties(${name} PROPERTIES IMPORTED_LOCATION "${library}" IMPORTED_SONAME "lib${name}.so")
  add_dependencies(${name} ${name}_library)
  pw_add_cuda_bodies(${name} SOURCES ${ARG_SOURCES} OBJECTS ${objects} DEPENDS ${objects})
endfunction()
