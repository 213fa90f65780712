/* What padding must not do, on every backend. */
#include "tests/kernels/op_padding.h"
#include "tests/kernels/op_run.h"
#include <math.h>
#include <string.h>

enum { QKV, LENGTHS };

static void
set_lengths (OpData *data, int32_t length) {
  int32_t *lengths = (int32_t *)(gpointer)data->in[LENGTHS]->data;
  for (guint b = 0; b < data->in[LENGTHS]->len / 4; b++)
    lengths[b] = length;
}

/* Everything behind a sequence's end, of an array with its tokens in dimension 1. */
static void
fill_padding (const OpData *data, GByteArray *array, float value) {
  const int32_t *lengths = (const int32_t *)(gpointer)data->in[LENGTHS]->data;
  int64_t batch = data->inputs[QKV].dims[0], tokens = data->inputs[QKV].dims[1];
  int64_t features = (int64_t)array->len / 4 / batch / tokens;
  float *values = (float *)(gpointer)array->data;
  for (int64_t b = 0; b < batch; b++)
    for (int64_t i = lengths[b] * features; i < tokens * features; i++)
      values[b * tokens * features + i] = value;
}

static void
assert_same_results (const OpResult *a, const OpResult *b) {
  for (int i = 0; i < OP_OPERANDS_MAX; i++) {
    if (a->out[i] != NULL)
      op_assert_same_bytes (a->out[i], b->out[i]);
    if (a->d[i] != NULL)
      op_assert_same_bytes (a->d[i], b->d[i]);
  }
}

/* Infinity in the padding of inputs and gradients (times 0 it is not a number): nothing of it
 * arrives anywhere. */
static void
check_leaks (const OpTarget *target, const OpCase *op_case) {
  for (int s = 0; s < op_case->n_sizes; s++) {
    OpData data;
    OpResult clean, dirty;
    op_data_init (&data, op_case, op_case->sizes[s], target->element);
    fill_padding (&data, data.in[QKV], 0);
    fill_padding (&data, data.dy, 0);
    op_run (&data, target, 0, &clean);
    fill_padding (&data, data.in[QKV], INFINITY);
    fill_padding (&data, data.dy, INFINITY);
    op_run (&data, target, 0, &dirty);
    assert_same_results (&clean, &dirty);
    op_result_clear (&clean);
    op_result_clear (&dirty);
    op_data_clear (&data);
  }
}

static void
test_leaks (gconstpointer target) {
  check_leaks (target, &op_case_attention_padded);
  check_leaks (target, &op_case_mask);
}

static void
test_whole (gconstpointer target) {
  const OpTarget *on = target;
  for (int s = 0; s < op_case_attention_padded.n_sizes; s++) {
    const int64_t *size = op_case_attention_padded.sizes[s];
    OpData padded, plain;
    OpResult with, without;
    op_data_init (&padded, &op_case_attention_padded, size, on->element);
    op_data_init (&plain, &op_case_attention, size, on->element);
    set_lengths (&padded, (int32_t)size[0]);
    memcpy (plain.in[QKV]->data, padded.in[QKV]->data, plain.in[QKV]->len);
    memcpy (plain.dy->data, padded.dy->data, plain.dy->len);
    op_run (&padded, on, 0, &with);
    op_run (&plain, on, 0, &without);
    assert_same_results (&without, &with);
    op_result_clear (&with);
    op_result_clear (&without);
    op_data_clear (&padded);
    op_data_clear (&plain);
  }
}

void
op_padding_add_tests (const OpTarget *target) {
  g_autofree char *leaks
      = g_strdup_printf ("/kernels/%s/padding/is-not-read-whatever-it-holds", target->name);
  g_autofree char *whole
      = g_strdup_printf ("/kernels/%s/padding/none-has-the-bits-of-no-lengths", target->name);
  g_test_add_data_func (leaks, target, test_leaks);
  /* In half types a library may compute what is not padded. */
  if (target->element == PW_ELEMENT_F32)
    g_test_add_data_func (whole, target, test_whole);
}
