# pw_add_module(NAME SOURCES a.c ... [DEPENDS module ...] [PACKAGES target ...])
#   One folder, one static library pw_NAME. DEPENDS are folders, PACKAGES are outside libraries.
function(pw_add_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;PACKAGES" ${ARGN})
  add_library(pw_${name} STATIC ${ARG_SOURCES})
  list(TRANSFORM ARG_DEPENDS PREPEND pw_)
  target_link_libraries(pw_${name} PUBLIC ${ARG_DEPENDS} ${ARG_PACKAGES} PRIVATE pw_flags)
endfunction()

# pw_add_test(NAME SOURCES a.c ... MODULES module ... [LABELS ...] [PROCESSORS n] [COST n] [SUPPORT])
#   A GLib test program, registered with CTest as NAME. SUPPORT links tests/support. Of several
#   tests at once CTest begins with the greatest COST (about its seconds; nothing: 0), so that no
#   long one is left for the end.
function(pw_add_test name)
  cmake_parse_arguments(ARG "SUPPORT" "PROCESSORS;TIMEOUT;COST" "SOURCES;MODULES;LABELS;PACKAGES" ${ARGN})
  string(REPLACE "/" "_" target "test_${name}")
  add_executable(${target} ${ARG_SOURCES})
  list(TRANSFORM ARG_MODULES PREPEND pw_)
  if(ARG_SUPPORT)
    list(APPEND ARG_MODULES pw_test_support)
  endif()
  target_link_libraries(${target} PRIVATE pw_flags ${ARG_MODULES} ${ARG_PACKAGES} PkgConfig::GLIB m)
  # Compiling them takes longer than what they would save.
  target_compile_options(${target} PRIVATE $<$<AND:$<CONFIG:Release>,$<COMPILE_LANGUAGE:C>>:-O1>)
  target_compile_definitions(${target} PRIVATE
    PW_SOURCE_DIR="${PROJECT_SOURCE_DIR}" PW_BINARY_DIR="${PROJECT_BINARY_DIR}")
  add_test(NAME ${name} COMMAND ${target})
  set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300)
  if(ARG_LABELS)
    set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}")
  endif()
  if(ARG_PROCESSORS)
    set_tests_properties(${name} PROPERTIES PROCESSORS ${ARG_PROCESSORS})
  endif()
  if(ARG_COST)
    set_tests_properties(${name} PROPERTIES COST ${ARG_COST})
  endif()
  if(ARG_TIMEOUT)
    set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT})
  endif()
endfunction()

# pw_add_cuda_module(SOURCES a.c ... [PACKAGES target ...])
#   Joins sources to the one module that holds all that needs CUDA's libraries; made by the first
#   call. Without CUDA a call does nothing.
function(pw_add_cuda_module)
  if(NOT PW_CUDA_MODULE)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;PACKAGES" ${ARGN})
  if(NOT TARGET pw_cuda)
    add_library(pw_cuda MODULE)
    set_target_properties(pw_cuda PROPERTIES
      PREFIX "" OUTPUT_NAME pipewright-cuda
      LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/${CMAKE_INSTALL_LIBDIR}/pipewright"
      # The toolkit is where it was at build time.
      INSTALL_RPATH_USE_LINK_PATH ON
      LINKER_LANGUAGE C
      LINK_DEPENDS "${PROJECT_SOURCE_DIR}/kernels/cuda/module.map")
    target_compile_definitions(pw_cuda PRIVATE PW_VERSION="${PROJECT_VERSION}"
      PW_CUDA_LEAST_CAPABILITY=${PW_CUDA_LEAST_CAPABILITY})
    target_link_options(pw_cuda PRIVATE LINKER:--no-undefined
      "LINKER:--version-script,${PROJECT_SOURCE_DIR}/kernels/cuda/module.map")
    install(TARGETS pw_cuda DESTINATION "${CMAKE_INSTALL_LIBDIR}/pipewright")
  endif()
  target_sources(pw_cuda PRIVATE ${ARG_SOURCES})
  target_link_libraries(pw_cuda PRIVATE pw_flags ${ARG_PACKAGES})
endfunction()
