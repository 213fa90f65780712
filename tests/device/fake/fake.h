/* What a test may set in the fake CUDA runtime and the fake NCCL. Everything starts from the
 * environment, so that CTest can run one program with many seeds:
 *
 *   CUDA_ON_CPU_SEED      order of warps, delays of streams; 0 (default): plain order, no delays
 *   CUDA_ON_CPU_DELAY_US  each operation of a stream starts up to so much later; default 0
 *   CUDA_ON_CPU_DEVICES   devices there are, default 2; 0: none, -1: no driver
 *   CUDA_ON_CPU_MEMORY    bytes of one device, default 8 GiB
 *   CUDA_ON_CPU_HANG_S    how long the host waits for a stream before it says what each stream
 *                         does and ends the program with status 87; default 30
 *   CUDA_ON_CPU_PROCESSES 1: communicators may have members in other processes of this machine, as
 *                         long as they only send and receive; default 0
 *   CUDA_VISIBLE_DEVICES  as CUDA's, numbers only
 *   CUDA_ON_CPU_BODIES    a module with the host's bodies of kernels that nvcc compiled
 *
 * A fault inside a kernel (a barrier that not all threads reach, a shuffle with absent lanes) ends
 * the program with status 86 and names kernel and block. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PW_FAKE_EXIT_KERNEL 86
#define PW_FAKE_EXIT_HANG 87
#define PW_FAKE_DEVICES_MAX 16

/* For streams made and kernels launched from now on. */
void pw_fake_set_seed (uint64_t seed);
void pw_fake_set_delay_us (unsigned microseconds);
void pw_fake_set_devices (int count);
void pw_fake_set_memory (size_t bytes_per_device);
void pw_fake_set_hang_s (double seconds);

/* The n-th allocation of device memory from now on fails, once; 1 is the next one, 0 none. */
void pw_fake_fail_allocation (long n);
/* The n-th launch of a kernel from now on is refused with CODE (a cudaError_t), once. */
void pw_fake_fail_launch (long n, int code);
/* The n-th operation of any stream from now on breaks the device: from its end on every
 * synchronisation and every call that enqueues returns CODE, until pw_fake_repair. */
void pw_fake_break_operation (long n, int code);
void pw_fake_repair (void);

/* What is allocated, as the caller sees it: cudaFreeAsync counts when it is called. */
size_t pw_fake_allocated_bytes (int device);
size_t pw_fake_allocated_bytes_peak (int device);
long pw_fake_live_allocations (void);
long pw_fake_live_streams (void);
long pw_fake_live_events (void);
/* And what was instantiated of them. */
long pw_fake_live_graphs (void);

typedef enum { PW_FAKE_NCCL_WELL, PW_FAKE_NCCL_DEAD, PW_FAKE_NCCL_HUNG } PwFakeNcclFault;
/* From its n-th NCCL launch from now on (a call, or a group's part on one communicator) DEVICE
 * takes no more part: its streams stand until the communicator is aborted. DEAD: the others are
 * told, as an asynchronous ncclRemoteError; HUNG: nobody is told. Counts the launches of all its
 * communicators. PW_FAKE_NCCL_WELL ends it. In libnccl. */
void pw_fake_nccl_fault (int device, long n, PwFakeNcclFault fault);
/* What ncclGetVersion says. */
void pw_fake_nccl_set_version (int code);

/* In libcudnn. What cudnnGetVersion says, and whether a handle can be made. */
void pw_fake_cudnn_set_version (size_t version);
void pw_fake_cudnn_refuse_handles (int refuse);
/* The n-th execution of a plan from now on fails, once. */
void pw_fake_cudnn_fail_execution (long n);
/* Plants a wrong stride in the tensor with this id: its DIMENSION's grows by so much. 0: none. */
void pw_fake_cudnn_shift_stride (int64_t id, int dimension, int64_t by);
long pw_fake_cudnn_executions (void);
long pw_fake_cudnn_live_descriptors (void); /* and handles */

#ifdef __cplusplus
}
#endif
