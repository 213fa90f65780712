#include "bench/gpu_bench.h"
#include "kernels/module.h"

const PwBackend *
gpu_backend (const char *module_file, GError **error) {
  if (module_file)
    pw_cuda_module_set_file (module_file);
  return pw_backend_get ("cuda", error);
}
