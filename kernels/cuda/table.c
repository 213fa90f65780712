#include "kernels/cuda/cuda_private.h"

/* The loader holds it against the program's (kernels/module.c). */
extern const char pw_cuda_module_version[];
const char pw_cuda_module_version[] = PW_VERSION;

extern const PwBackend pw_backend_cuda;
const PwBackend pw_backend_cuda = {
  .name = "cuda",
  .check = pw__cuda_check_run,
  .ops = {
    .linear_forward = pw__cuda_linear_forward,
    .linear_input_gradient = pw__cuda_linear_input_gradient,
    .linear_weight_gradient = pw__cuda_linear_weight_gradient,
  },
  .workspace = {
    .linear = pw__cuda_linear_workspace,
  },
  .stream_new = pw__cuda_stream_new,
  .stream_free = pw__cuda_stream_free,
  .stream_synchronize = pw__cuda_stream_synchronize,
  .alloc = pw__cuda_alloc,
  .free = pw__cuda_free,
  .zero = pw__cuda_zero,
  .copy = pw__cuda_copy,
  .copy_from_host = pw__cuda_copy_from_host,
  .copy_to_host = pw__cuda_copy_to_host,
  .event_new = pw__cuda_event_new,
  .event_free = pw__cuda_event_free,
  .event_record = pw__cuda_event_record,
  .event_wait = pw__cuda_event_wait,
  .timestamp_record = pw__cuda_timestamp_record,
  .timestamp_read = pw__cuda_timestamp_read,
};
