/* The C interface between kernels compiled for the host and the engine that runs them, which lives
 * in the fake CUDA runtime. */
#pragma once
#include <cuda_runtime_api.h>
#include <stdint.h>

extern "C" {

typedef void (*PwShimCall) (void *function, void **arguments);
/* A kernel as the host compiler made it: `call` turns the array of pointers that CUDA passes into
 * a typed call of `function`. */
typedef struct {
  PwShimCall call;
  void *function;
  const char *name;
  const unsigned *argument_bytes;
  unsigned n_arguments;
} PwShimKernel;

typedef struct {
  dim3 grid, block;
  size_t shared_bytes; /* dynamic */
} PwShimGeometry;

/* Variables, not macros: cudaLaunchConfig_t has fields called gridDim and blockDim. */
extern __thread uint3 threadIdx, blockIdx;
extern __thread dim3 blockDim, gridDim;
extern __thread unsigned pw_shim_lane;

void pw_shim_barrier (void);
/* The sum of VALUE over the block's threads. */
int pw_shim_barrier_sum (int value);
void pw_shim_fence (void);
void pw_shim_trap (const char *what) __attribute__ ((noreturn));

typedef enum { PW_SHIM_SYNC, PW_SHIM_SHUFFLE, PW_SHIM_VOTE } PwShimWarpOperation;
/* Gives VALUE, waits for every lane in MASK, fetches what lane SOURCE gave. Returns the lanes whose
 * value has a bit set. At most 16 bytes. */
unsigned pw_shim_warp (PwShimWarpOperation operation, unsigned mask, const void *value,
                       unsigned bytes, unsigned source, void *out);

/* The block's array KEY (an address that stands for the declaration); the first thread that asks
 * makes it. Filled with NaN. */
void *pw_shim_shared (const void *key, size_t bytes);
void *pw_shim_dynamic_shared (void);

/* Runs a whole grid on the calling thread. SEED 0: threads in plain order. */
void pw_shim_run_grid (const PwShimKernel *kernel, const PwShimGeometry *geometry, void **arguments,
                       uint64_t seed);

/* Enqueues a kernel on a stream of the fake runtime; arguments are copied. */
cudaError_t pw_shim_launch (const PwShimKernel *kernel, const PwShimGeometry *geometry,
                            void **arguments, cudaStream_t stream);
/* The host's body for a kernel that an object of nvcc's registers under this mangled name. */
void pw_shim_register_body (const char *mangled, const PwShimKernel *kernel);
}
