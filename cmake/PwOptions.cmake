# Compiler settings shared by every target.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

option(PW_WERROR "Treat warnings as errors" ON)
set(PW_SANITIZE "" CACHE STRING "Sanitizers for every target, e.g. address,undefined or thread")

add_library(pw_flags INTERFACE)
target_compile_options(pw_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion $<$<BOOL:${PW_WERROR}>:-Werror>
  # Results must not depend on whether the compiler fused a product and a sum.
  -ffp-contract=off
  -fno-math-errno)
target_include_directories(pw_flags INTERFACE "${PROJECT_SOURCE_DIR}")

if(PW_SANITIZE)
  target_compile_options(pw_flags INTERFACE -fsanitize=${PW_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(pw_flags INTERFACE -fsanitize=${PW_SANITIZE})
endif()
