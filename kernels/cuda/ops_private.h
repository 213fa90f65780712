/* The ops of the CUDA backend, one section per file. Contracts: kernels/kernels.h. */
#pragma once
#include "kernels/kernels.h"

/* Declares pw__cuda_NAME with the type its member of the tables has. */
#define PW_CUDA_OP(name) __typeof__ (*((PwOps *)NULL)->name) pw__cuda_##name
#define PW_CUDA_WORKSPACE(name)                                                                    \
  __typeof__ (*((PwWorkspaces *)NULL)->name) pw__cuda_##name##_workspace

/* linear.c */
PW_CUDA_OP (linear_forward);
PW_CUDA_OP (linear_input_gradient);
PW_CUDA_OP (linear_weight_gradient);
PW_CUDA_WORKSPACE (linear);
