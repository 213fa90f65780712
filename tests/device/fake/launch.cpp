/* Launches: of kernels that the host's compiler made, and of those in an object of nvcc's, which
 * registers a stub and a mangled name for each and finds the host's body by that name. */
#include <cstring>
#include <dlfcn.h>
#include <map>
#include <mutex>
#include <string>

#include "tests/device/fake/runtime_private.h"

namespace {
struct Body {
  PwShimKernel kernel;
  std::vector<unsigned> argument_bytes;
};
struct Registered {
  std::string mangled;
  const Body *body;
};
struct Configuration {
  PwShimGeometry geometry;
  cudaStream_t stream;
};
/* A launch under way: its arguments, copied, and the pointers to them. */
struct Launch {
  PwShimKernel kernel;
  PwShimGeometry geometry;
  uint64_t seed;
  std::vector<void *> arguments;
  std::vector<std::unique_ptr<char[]>> copies;
};
} // namespace

static SpinLock lock;
static std::atomic<long> fail_after;
static std::atomic<int> fail_code;

/* Never freed: modules register before main and after it. */
static std::map<std::string, Body> &
bodies () {
  static auto *all = new std::map<std::string, Body>;
  return *all;
}

static std::map<const void *, Registered> &
registered () {
  static auto *all = new std::map<const void *, Registered>;
  return *all;
}

static std::map<const void *, size_t> &
shared_limits () {
  static auto *all = new std::map<const void *, size_t>;
  return *all;
}

static bool
geometry_fits (const PwShimGeometry *geometry) {
  const dim3 &grid = geometry->grid, &block = geometry->block;
  size_t threads = (size_t)block.x * block.y * block.z;
  return grid.x && grid.y && grid.z && threads && threads <= 1024 && block.z <= 64
         && grid.x <= 0x7fffffffu && grid.y <= 65535 && grid.z <= 65535;
}

static size_t
shared_limit (const void *function) {
  SpinGuard guard (lock);
  auto found = shared_limits ().find (function);
  return found == shared_limits ().end () ? 48 * 1024 : found->second;
}

static std::shared_ptr<Launch>
copy_launch (const PwShimKernel *kernel, const PwShimGeometry *geometry, void **arguments,
             uint64_t seed) {
  auto launch = std::make_shared<Launch> ();
  launch->kernel = *kernel;
  launch->geometry = *geometry;
  launch->seed = seed;
  for (unsigned i = 0; i < kernel->n_arguments; i++) {
    size_t bytes = kernel->argument_bytes[i];
    launch->copies.emplace_back (new char[bytes]);
    memcpy (launch->copies[i].get (), arguments[i], bytes);
    launch->arguments.push_back (launch->copies[i].get ());
  }
  launch->arguments.push_back (nullptr);
  return launch;
}

/* KEY is what cudaFuncSetAttribute was given: the host's function, or nvcc's stub. */
static cudaError_t
launch (const PwShimKernel *kernel, const void *key, const PwShimGeometry *geometry,
        void **arguments, cudaStream_t stream) {
  cudaError_t code = check_stream (kernel->name, stream);
  if (code != cudaSuccess)
    return code;
  if (countdown (fail_after))
    return set_last_error ((cudaError_t)fail_code.load ());
  if (!geometry_fits (geometry))
    return refuse (cudaErrorInvalidConfiguration, kernel->name, "a grid or block of this size");
  if (stream->device != current_device ())
    return refuse (cudaErrorInvalidResourceHandle, kernel->name,
                   "the stream is of another device than the current one");
  if (geometry->shared_bytes > shared_limit (key))
    return refuse (cudaErrorInvalidValue, kernel->name,
                   "more dynamic shared memory than cudaFuncSetAttribute has allowed");
  sanitizers::Hidden hidden;
  uint64_t seed = settings ().seed;
  if (seed)
    seed = seed * 0x9e3779b97f4a7c15ull + (uint64_t)stream->n_enqueued + 1;
  auto copied = copy_launch (kernel, geometry, arguments, seed);
  return enqueue (stream, kernel->name, [copied] {
    pw_shim_run_grid (&copied->kernel, &copied->geometry, copied->arguments.data (), copied->seed);
  });
}

/* Once, whichever rank launches first; the others wait until the bodies are there. */
static void
load_bodies () {
  static std::once_flag once;
  std::call_once (once, [] {
    const char *path = getenv ("CUDA_ON_CPU_BODIES");
    if (path && !dlopen (path, RTLD_NOW | RTLD_LOCAL))
      fprintf (stderr, "cuda-on-cpu: %s\n", dlerror ());
  });
}

static Registered *
find_registered (const void *stub) {
  load_bodies ();
  SpinGuard guard (lock);
  auto found = registered ().find (stub);
  if (found == registered ().end ())
    return nullptr;
  Registered *kernel = &found->second;
  auto body = bodies ().find (kernel->mangled);
  if (body == bodies ().end ()) {
    fprintf (stderr, "cuda-on-cpu: no body for the kernel %s\n", kernel->mangled.c_str ());
    return nullptr;
  }
  kernel->body = &body->second;
  return kernel;
}

extern "C" {

void
pw_fake_fail_launch (long n, int code) {
  fail_code = code;
  fail_after = n;
}

cudaError_t
pw_shim_launch (const PwShimKernel *kernel, const PwShimGeometry *geometry, void **arguments,
                cudaStream_t stream) {
  return launch (kernel, kernel->function, geometry, arguments, stream);
}

void
pw_shim_register_body (const char *mangled, const PwShimKernel *kernel) {
  SpinGuard guard (lock);
  Body *body = &bodies ()[mangled];
  body->kernel = *kernel;
  body->argument_bytes.assign (kernel->argument_bytes,
                               kernel->argument_bytes + kernel->n_arguments);
  body->kernel.name = bodies ().find (mangled)->first.c_str ();
  body->kernel.argument_bytes = body->argument_bytes.data ();
}

cudaError_t
cudaFuncSetAttribute (const void *function, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize)
    return cudaSuccess;
  if (value < 0 || value > 227 * 1024)
    return set_last_error (cudaErrorInvalidValue);
  SpinGuard guard (lock);
  shared_limits ()[function] = (size_t)value;
  return cudaSuccess;
}

cudaError_t
cudaLaunchKernel (const void *stub, dim3 grid, dim3 block, void **arguments, size_t shared_bytes,
                  cudaStream_t stream) {
  Registered *kernel = find_registered (stub);
  if (!kernel)
    return set_last_error (cudaErrorInvalidDeviceFunction);
  PwShimGeometry geometry = { grid, block, shared_bytes };
  return launch (&kernel->body->kernel, stub, &geometry, arguments, stream);
}

cudaError_t
cudaLaunchKernelExC (const cudaLaunchConfig_t *config, const void *stub, void **arguments) {
  return cudaLaunchKernel (stub, config->gridDim, config->blockDim, arguments,
                           config->dynamicSmemBytes, config->stream);
}

/* What objects of nvcc's call. */
static thread_local std::vector<Configuration> *configurations;

unsigned
__cudaPushCallConfiguration (dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream) {
  sanitizers::Hidden hidden;
  if (!configurations)
    configurations = new std::vector<Configuration>;
  configurations->push_back ({ { grid, block, shared_bytes }, stream });
  return 0;
}

cudaError_t
__cudaPopCallConfiguration (dim3 *grid, dim3 *block, size_t *shared_bytes, void *stream) {
  sanitizers::Hidden hidden;
  Configuration last = configurations->back ();
  configurations->pop_back ();
  if (configurations->empty ()) {
    delete configurations;
    configurations = nullptr;
  }
  *grid = last.geometry.grid;
  *block = last.geometry.block;
  *shared_bytes = last.geometry.shared_bytes;
  *(cudaStream_t *)stream = last.stream;
  return cudaSuccess;
}

void **
__cudaRegisterFatBinary (void *) {
  static void *handle[4];
  return handle;
}

void
__cudaRegisterFatBinaryEnd (void **) {
}

void
__cudaUnregisterFatBinary (void **) {
}

char
__cudaInitModule (void **) {
  return 1;
}

void
__cudaRegisterFunction (void **, const char *stub, char *, const char *mangled, int, uint3 *,
                        uint3 *, dim3 *, dim3 *, int *) {
  SpinGuard guard (lock);
  registered ()[stub] = { mangled, nullptr };
}

void
__cudaRegisterVar (void **, char *, char *, const char *, int, size_t, int, int) {
}

cudaError_t
__cudaGetKernel (cudaKernel_t *kernel, const void *stub) {
  *kernel = (cudaKernel_t)stub;
  return cudaSuccess;
}

cudaError_t
__cudaLaunchKernel (cudaKernel_t stub, dim3 grid, dim3 block, void **arguments, size_t shared_bytes,
                    cudaStream_t stream) {
  return cudaLaunchKernel (stub, grid, block, arguments, shared_bytes, stream);
}
}
