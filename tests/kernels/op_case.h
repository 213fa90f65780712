/* A case says what an op takes and gives, and how to call it; op_check.c does the rest for every
 * case on every backend. A new op joins by a file case_OP.c and a line in op_cases.c. */
#pragma once
#include "kernels/kernels.h"

#define OP_OPERANDS_MAX 5

typedef enum {
  OP_GRADIENT_NONE,        /* index, target, optimiser state */
  OP_GRADIENT_ASSIGNED,    /* of an input */
  OP_GRADIENT_ACCUMULATED, /* of a parameter */
} OpGradient;

typedef enum {
  OP_OUTPUT,        /* differentiated: the check takes L = sum of r y with random r */
  OP_OUTPUT_KEPT,   /* kept for the gradient op, not differentiated itself */
  OP_OUTPUT_SCALAR, /* a device double that is added to; differentiated with weight 1 */
} OpOutputKind;

/* One tensor of an op. Floats are drawn from [low, high), indices likewise, as integers. */
typedef struct {
  int n_dims;
  int64_t dims[4];
  double low, high;
  gboolean index;       /* int32 */
  gboolean away_from_0; /* the op has a kink there */
  OpGradient gradient;  /* inputs */
  OpOutputKind kind;    /* outputs */
} OpOperand;

/* What SIZE's numbers mean is the case's own affair. */
typedef struct {
  const char *op;
  int n_inputs, n_outputs;
  int n_sizes;
  const int64_t (*sizes)[4];
  double tolerance;      /* relative to the largest of the tensor, or to 0.1 (1 for gradients) */
  gboolean float32_only; /* not for targets of a half type */
  void (*operands) (const int64_t *size, OpOperand *inputs, OpOperand *outputs);
  /* Scalars are assigned here: the check knows what they began with. */
  void (*reference) (const int64_t *size, double *const *inputs, double *const *outputs);
  gsize (*workspace) (PwOpContext *, const int64_t *size); /* NULL: the op takes none */
  gboolean (*forward) (PwOpContext *, const int64_t *size, const PwTensor *inputs,
                       PwTensor *outputs, PwWorkspace, GError **);
  /* dy belongs to output 0 and is without data if that is a scalar; d[i] to input i. NULL: the op
   * has no gradient. */
  gboolean (*gradient) (PwOpContext *, const int64_t *size, const PwTensor *inputs,
                        const PwTensor *outputs, const PwTensor *dy, PwTensor *d, PwWorkspace,
                        GError **);
} OpCase;

/* What cases run on. PREPARE, if any, sees every new stream. */
typedef struct {
  const char *name;
  const PwBackend *backend;
  void (*prepare) (PwStream *, int variant);
  int variant;
  /* Of activations and parameters. What the ops keep in fp32 whatever the precision (statistics,
   * gradients of parameters) stays so, and within the case's own tolerance. */
  PwElement element;
  /* Of the same kernels: saves most of the time. */
  gboolean bits_are_checked_elsewhere;
} OpTarget;

/* Ends with NULL. */
extern const OpCase *const op_cases[];

/* Adds three tests per case to GLib's list. */
void op_check_add_tests (const OpTarget *target);

void op_context_init (PwOpContext *context, const OpTarget *target);
void op_context_clear (PwOpContext *context);

extern const OpCase op_case_linear, op_case_linear_gelu, op_case_gelu_bias, op_case_relu, op_case_gelu,
    op_case_layernorm, op_case_rmsnorm, op_case_dropout, op_case_embedding, op_case_position,
    op_case_attention, op_case_attention_padded, op_case_mask, op_case_add, op_case_concat, op_case_cross_entropy,
    op_case_mse, op_case_sgd, op_case_adam, op_case_adamw, op_case_square_sum;
