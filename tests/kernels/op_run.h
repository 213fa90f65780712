/* One call of a case's op and of its gradient, from host arrays to host arrays. */
#pragma once
#include "tests/kernels/op_case.h"

/* Inputs drawn once per check, and what accumulators begin with. All are of whole operands. */
typedef struct {
  const OpCase *op_case;
  const int64_t *size;
  OpOperand inputs[OP_OPERANDS_MAX], outputs[OP_OPERANDS_MAX];
  GByteArray *in[OP_OPERANDS_MAX];      /* float or int32 */
  GByteArray *dy;                       /* float, of output 0 */
  GByteArray *initial[OP_OPERANDS_MAX]; /* float, per input: an accumulated gradient's start */
  double scalar;                        /* a scalar output's start */
  PwElement element;                    /* the values drawn are exact in it */
} OpData;

typedef struct {
  GByteArray *out[OP_OPERANDS_MAX]; /* float; a scalar: one double */
  GByteArray *d[OP_OPERANDS_MAX];   /* per input with a gradient, else NULL */
} OpResult;

void op_data_init (OpData *, const OpCase *, const int64_t *size, PwElement);
void op_data_clear (OpData *);
int64_t op_operand_elements (const OpOperand *);
/* Runs on a fresh stream of the calling thread; fails the test if the op fails, writes outside its
 * buffers or changes an input. Assigned outputs begin as NaN. SHIFT: of every buffer, in bytes. */
void op_run (const OpData *, const OpTarget *, gsize shift, OpResult *);
/* GLib's own comparison of memory does not compile with -Wconversion. */
void op_assert_same_bytes (const GByteArray *a, const GByteArray *b);
void op_result_clear (OpResult *);
