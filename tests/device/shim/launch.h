/* From a launch to pw_shim_launch. rewrite.py makes `kernel<<<grid, block, bytes, stream>>> (...)`
 * into `pw_shim::configure ("kernel", kernel, grid, block, bytes, stream) (...)`. */
#pragma once
#include <utility>

#include "tests/device/shim/device_calls.h"

namespace pw_shim {

template <class... A, size_t... I>
inline void
call_unpacked (void (*function) (A...), void **arguments, std::index_sequence<I...>) {
  (void)arguments;
  function (*(typename std::remove_reference<A>::type *)arguments[I]...);
}

template <class... A>
void
call (void *function, void **arguments) {
  call_unpacked ((void (*) (A...))function, arguments, std::index_sequence_for<A...> ());
}

template <class... A>
inline PwShimKernel
describe (const char *name, void (*function) (A...)) {
  static const unsigned bytes[] = { (unsigned)sizeof (A)..., 0 };
  return { call<A...>, (void *)function, name, bytes, sizeof...(A) };
}

template <class... A> struct Launcher {
  PwShimKernel kernel;
  PwShimGeometry geometry;
  cudaStream_t stream;
  cudaError_t operator() (A... a) const {
    void *arguments[] = { (void *)&a..., nullptr };
    return pw_shim_launch (&kernel, &geometry, arguments, stream);
  }
};

template <class... A>
inline Launcher<A...>
configure (const char *name, void (*function) (A...), dim3 grid, dim3 block, size_t bytes = 0,
           cudaStream_t stream = nullptr) {
  return { describe (name, function), { grid, block, bytes }, stream };
}

template <class... A>
inline void
register_body (const char *mangled, void (*function) (A...)) {
  PwShimKernel kernel = describe (mangled, function);
  pw_shim_register_body (mangled, &kernel);
}

} // namespace pw_shim

template <class... A, class... B>
static inline cudaError_t
cudaLaunchKernelEx (const cudaLaunchConfig_t *config, void (*function) (A...), B &&...arguments) {
  return pw_shim::configure ("(by cudaLaunchKernelEx)", function, config->gridDim, config->blockDim,
                             config->dynamicSmemBytes,
                             config->stream) (std::forward<B> (arguments)...);
}
