/* CUDA on the CPU: the backend is part of the program. */
#include "bench/gpu_bench.h"

extern const PwBackend pw_backend_cuda;

const PwBackend *
gpu_backend (const char *module_file G_GNUC_UNUSED, GError **error G_GNUC_UNUSED) {
  return &pw_backend_cuda;
}
