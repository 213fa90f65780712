#include "tests/kernels/op_case.h"

const OpCase *const op_cases[] = {
  &op_case_linear,
  &op_case_linear_gelu,
  &op_case_relu,
  &op_case_gelu,
  &op_case_layernorm,
  &op_case_rmsnorm,
  &op_case_dropout,
  &op_case_embedding,
  &op_case_position,
  &op_case_attention,
  &op_case_attention_padded,
  &op_case_mask,
  &op_case_add,
  &op_case_cross_entropy,
  &op_case_mse,
  &op_case_sgd,
  &op_case_adam,
  &op_case_adamw,
  &op_case_square_sum,
  NULL,
};
