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
PW_CUDA_OP (linear_gelu_forward);
PW_CUDA_WORKSPACE (linear);

/* activations.c */
PW_CUDA_OP (relu_forward);
PW_CUDA_OP (relu_input_gradient);
PW_CUDA_OP (gelu_forward);
PW_CUDA_OP (gelu_input_gradient);

/* gelu_bias.c */
PW_CUDA_OP (gelu_bias_input_gradient);

/* layernorm.c; the workspace is rmsnorm's, too */
PW_CUDA_OP (layernorm_forward);
PW_CUDA_OP (layernorm_input_gradient);
PW_CUDA_WORKSPACE (layernorm);

/* rmsnorm.c */
PW_CUDA_OP (rmsnorm_forward);
PW_CUDA_OP (rmsnorm_input_gradient);

/* dropout.c */
PW_CUDA_OP (dropout_forward);
PW_CUDA_OP (dropout_input_gradient);

/* embedding.c */
PW_CUDA_OP (embedding_forward);
PW_CUDA_OP (embedding_weight_gradient);
PW_CUDA_WORKSPACE (embedding);

/* position.c */
PW_CUDA_OP (position_forward);
PW_CUDA_OP (position_weight_gradient);

/* mask.c */
PW_CUDA_OP (mask_rows);

/* attention.c */
PW_CUDA_OP (attention_forward);
PW_CUDA_OP (attention_input_gradient);
PW_CUDA_WORKSPACE (attention);

/* cross_entropy.c */
PW_CUDA_OP (cross_entropy_forward);
PW_CUDA_OP (cross_entropy_input_gradient);

/* add.c */
PW_CUDA_OP (add);

/* concat.c */
PW_CUDA_OP (concat_forward);
PW_CUDA_OP (concat_input_gradient);

/* mse.c */
PW_CUDA_OP (mse_forward);
PW_CUDA_OP (mse_input_gradient);

/* optimizers.c */
PW_CUDA_OP (sgd);
PW_CUDA_OP (adam);
PW_CUDA_OP (adamw);

/* square_sum.c; the workspace is mse's, too */
PW_CUDA_OP (square_sum);
PW_CUDA_OP (overflow_check);
PW_CUDA_WORKSPACE (sum);
