/* Which device a rank computes on, and whether this machine's devices can do a run at all. */
#include "kernels/cuda/cuda_private.h"

static gboolean
count_devices (int *devices, GError **error) {
  *devices = 0;
  cudaError_t code = cudaGetDeviceCount (devices);
  if (code == cudaSuccess && *devices > 0)
    return TRUE;
  cudaGetLastError (); /* not to be found by the next call */
  if (code == cudaSuccess || code == cudaErrorNoDevice)
    g_set_error_literal (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED,
                         "cuda: this machine has no CUDA device");
  else if (code == cudaErrorInsufficientDriver)
    g_set_error_literal (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED,
                         "cuda: this machine has no NVIDIA driver, or one that is older than this "
                         "build's CUDA");
  else
    g_set_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED,
                 "cuda: no device can be used: %s", cudaGetErrorString (code));
  return FALSE;
}

gboolean
pw__cuda_device_of_place (int place, int *device, GError **error) {
  int devices;
  if (!count_devices (&devices, error))
    return FALSE;
  *device = place % devices;
  return TRUE;
}

static gboolean
check_capability (int device, const struct cudaDeviceProp *properties, PwArithmetic arithmetic,
                  GError **error) {
  static const struct {
    const char *name;
    int least; /* compute capability, times 10 */
  } needs[] = {
    [PW_ARITHMETIC_FP32] = { .name = "fp32", .least = 0 },
    [PW_ARITHMETIC_TF32] = { .name = "tf32", .least = 80 },
    [PW_ARITHMETIC_BF16] = { .name = "bf16", .least = 80 },
    [PW_ARITHMETIC_FP16] = { .name = "fp16", .least = 53 },
  };
  int capability = 10 * properties->major + properties->minor;
  if (capability < PW_CUDA_LEAST_CAPABILITY) {
    g_set_error (
        error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED,
        "cuda: device %d (%s) has compute capability %d.%d, this build's kernels need %d.%d",
        device, properties->name, properties->major, properties->minor,
        PW_CUDA_LEAST_CAPABILITY / 10, PW_CUDA_LEAST_CAPABILITY % 10);
    return FALSE;
  }
  if (capability >= needs[arithmetic].least)
    return TRUE;
  g_set_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED,
               "cuda: device %d (%s) has no %s: that needs compute capability %d.%d, it has %d.%d",
               device, properties->name, needs[arithmetic].name, needs[arithmetic].least / 10,
               needs[arithmetic].least % 10, properties->major, properties->minor);
  return FALSE;
}

static gboolean
check_memory (int device, int devices, const struct cudaDeviceProp *properties,
              const PwBackendRun *run, GError **error) {
  double needed = 0, available = (double)properties->totalGlobalMem;
  int ranks = 0;
  for (int r = 0; run->rank_bytes && r < run->ranks; r++)
    if ((run->first_place + r) % devices == device) {
      needed += (double)run->rank_bytes[r];
      ranks++;
    }
  if (needed <= available)
    return TRUE;
  static const double gib = 1024.0 * 1024 * 1024;
  g_set_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_MEMORY,
               "cuda: the plan's %d %s on device %d (%s) %s %.3g GiB, it has %.3g GiB", ranks,
               ranks == 1 ? "rank" : "ranks", device, properties->name,
               ranks == 1 ? "needs" : "need", needed / gib, available / gib);
  return FALSE;
}

gboolean
pw__cuda_check_run (const PwBackendRun *run, GError **error) {
  int devices;
  if (!count_devices (&devices, error))
    return FALSE;
  if (run->ranks > devices && !run->share_devices) {
    gboolean is_alone = run->processes <= 1;
    g_set_error (
        error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED,
        "cuda: %s has %d ranks, %s %d %s; --share-devices lets several ranks compute on one",
        is_alone ? "the plan" : "this process", run->ranks,
        is_alone ? "this machine has" : "it sees", devices, devices == 1 ? "device" : "devices");
    return FALSE;
  }
  if (run->ranks > devices && run->graphs) {
    g_set_error (
        error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED,
        "cuda: the plan has %d ranks, this machine has %d %s; CUDA graphs need one for each "
        "rank: leave out --cuda-graphs",
        run->ranks, devices, devices == 1 ? "device" : "devices");
    return FALSE;
  }
  for (int i = 0; i < MIN (devices, run->ranks); i++) {
    struct cudaDeviceProp properties;
    int d = (run->first_place + i) % devices;
    if (!pw__cuda_check (NULL, "properties of the device", cudaGetDeviceProperties (&properties, d),
                         error)
        || !check_capability (d, &properties, run->arithmetic, error)
        || !check_memory (d, devices, &properties, run, error))
      return FALSE;
  }
  return TRUE;
}
