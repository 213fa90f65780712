/* The three checks of every case: values against the reference, gradients against central
 * differences of the reference, bits against everything they must not depend on. */
#include "tests/kernels/op_run.h"
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "tests/support/repeats.h"

/* The reference's side of a case, in double. */
typedef struct {
  double *in[OP_OPERANDS_MAX], *out[OP_OPERANDS_MAX];
} Reference;

static double *
doubles_of (const GByteArray *array, gboolean index) {
  guint n = array->len / 4;
  double *doubles = g_new (double, MAX (n, 1));
  for (guint i = 0; i < n; i++)
    doubles[i] = index ? ((const int32_t *)(gpointer)array->data)[i]
                       : (double)((const float *)(gpointer)array->data)[i];
  return doubles;
}

static void
reference_init (Reference *reference, const OpData *data) {
  *reference = (Reference){ 0 };
  for (int i = 0; i < data->op_case->n_inputs; i++)
    reference->in[i] = doubles_of (data->in[i], data->inputs[i].index);
  for (int o = 0; o < data->op_case->n_outputs; o++)
    reference->out[o] = g_new0 (double, (gsize)op_operand_elements (&data->outputs[o]));
}

static void
reference_clear (Reference *reference) {
  for (int i = 0; i < OP_OPERANDS_MAX; i++) {
    g_free (reference->in[i]);
    g_free (reference->out[i]);
  }
}

/* L = sum of dy y over outputs that are differentiated. */
static double
reference_loss (Reference *reference, const OpData *data) {
  const float *dy = (const float *)(gpointer)data->dy->data;
  data->op_case->reference (data->size, reference->in, reference->out);
  double loss = 0;
  for (int o = 0; o < data->op_case->n_outputs; o++) {
    if (data->outputs[o].kind == OP_OUTPUT_SCALAR)
      loss += reference->out[o][0];
    for (int64_t i = 0; o == 0 && data->outputs[o].kind == OP_OUTPUT
                        && i < op_operand_elements (&data->outputs[o]);
         i++)
      loss += (double)dy[i] * reference->out[o][i];
  }
  return loss;
}

static void
assert_near (const char *what, int operand, int64_t at, double got, double want, double allowed) {
  if (fabs (got - want) <= allowed)
    return;
  g_test_message ("%s %d, element %" G_GINT64_FORMAT ": %.9g, expected %.9g", what, operand, at,
                  got, want);
  g_test_fail ();
}

static double
greatest (const double *x, int64_t n) {
  double most = 0;
  for (int64_t i = 0; i < n; i++)
    most = fmax (most, fabs (x[i]));
  return most;
}

/* Of what is stored in the target's type: half of the last bit, and as much again for what was
 * rounded on the way. */
static double
tolerance_of (const OpData *data, gboolean kept_in_float32) {
  double last_bit = data->element == PW_ELEMENT_BF16  ? 0x1p-7
                    : data->element == PW_ELEMENT_F16 ? 0x1p-10
                                                      : 0;
  return kept_in_float32 ? data->op_case->tolerance : fmax (data->op_case->tolerance, last_bit);
}

static void
check_values (const OpData *data, const OpResult *result, Reference *reference) {
  data->op_case->reference (data->size, reference->in, reference->out);
  for (int o = 0; o < data->op_case->n_outputs; o++) {
    const double *want = reference->out[o];
    if (data->outputs[o].kind == OP_OUTPUT_SCALAR) {
      double got;
      memcpy (&got, result->out[o]->data, sizeof got);
      double sum = data->scalar + want[0];
      assert_near ("scalar", o, 0, got, sum, data->op_case->tolerance * (1 + fabs (sum)));
      continue;
    }
    int64_t n = op_operand_elements (&data->outputs[o]);
    const float *got = (const float *)(gpointer)result->out[o]->data;
    double tolerance = tolerance_of (data, data->outputs[o].kind == OP_OUTPUT_KEPT);
    double allowed = tolerance * fmax (greatest (want, n), 0.1);
    for (int64_t i = 0; i < n; i++)
      assert_near ("output", o, i, (double)got[i], want[i], allowed);
  }
}

/* Of a large tensor a sample: every element costs two calls of the reference. */
static void
check_gradient (const OpData *data, const OpResult *result, Reference *reference, int input) {
  int64_t n = op_operand_elements (&data->inputs[input]), samples = n <= 100 ? n : 12;
  const float *got = (const float *)(gpointer)result->d[input]->data;
  const float *start
      = data->initial[input] == NULL ? NULL : (const float *)(gpointer)data->initial[input]->data;
  g_autofree double *want = g_new (double, (gsize)samples);
  g_autofree int64_t *at = g_new (int64_t, (gsize)samples);
  for (int64_t k = 0; k < samples; k++) {
    at[k] = n == samples ? k : g_test_rand_int_range (0, (int32_t)n);
    double *x = &reference->in[input][at[k]], middle = *x, step = 1e-4;
    *x = middle + step;
    double above = reference_loss (reference, data);
    *x = middle - step;
    double below = reference_loss (reference, data);
    *x = middle;
    want[k] = (above - below) / (2 * step);
  }
  double tolerance = tolerance_of (data, start != NULL);
  double allowed = tolerance * (1 + greatest (want, samples)) + 1e-7;
  for (int64_t k = 0; k < samples; k++) {
    double begun = start == NULL ? 0 : (double)start[at[k]];
    assert_near ("gradient of input", input, at[k], (double)got[at[k]], begun + want[k], allowed);
  }
}

typedef struct {
  const OpTarget *target;
  const OpCase *op_case;
} Check;

static void
describe (const OpCase *op_case, const int64_t *size) {
  g_test_message ("%s: size %d %d %d %d", op_case->op, (int)size[0], (int)size[1], (int)size[2],
                  (int)size[3]);
}

static void
test_values (gconstpointer argument) {
  const Check *check = argument;
  for (int s = 0; s < check->op_case->n_sizes; s++) {
    OpData data;
    OpResult result;
    Reference reference;
    describe (check->op_case, check->op_case->sizes[s]);
    op_data_init (&data, check->op_case, check->op_case->sizes[s], check->target->element);
    reference_init (&reference, &data);
    op_run (&data, check->target, 0, &result);
    check_values (&data, &result, &reference);
    reference_clear (&reference);
    op_result_clear (&result);
    op_data_clear (&data);
  }
}

static void
test_gradients (gconstpointer argument) {
  const Check *check = argument;
  for (int s = 0; s < check->op_case->n_sizes; s++) {
    OpData data;
    OpResult result;
    Reference reference;
    describe (check->op_case, check->op_case->sizes[s]);
    op_data_init (&data, check->op_case, check->op_case->sizes[s], check->target->element);
    reference_init (&reference, &data);
    op_run (&data, check->target, 0, &result);
    for (int i = 0; i < check->op_case->n_inputs; i++)
      if (result.d[i] != NULL)
        check_gradient (&data, &result, &reference, i);
    reference_clear (&reference);
    op_result_clear (&result);
    op_data_clear (&data);
  }
}

static void
assert_same_bits (const OpResult *a, const OpResult *b) {
  for (int i = 0; i < OP_OPERANDS_MAX; i++) {
    if (a->out[i] != NULL)
      op_assert_same_bytes (a->out[i], b->out[i]);
    if (a->d[i] != NULL)
      op_assert_same_bytes (a->d[i], b->d[i]);
  }
}

typedef struct {
  const OpData *data;
  const OpTarget *target;
  OpResult result;
} Elsewhere;

static void *
run_elsewhere (void *argument) {
  Elsewhere *elsewhere = argument;
  op_run (elsewhere->data, elsewhere->target, 0, &elsewhere->result);
  return NULL;
}

static void
test_bits (gconstpointer argument) {
  const Check *check = argument;
#ifdef __SANITIZE_THREAD__
  static const gsize shifts[] = { 4 }; /* races hang on no address, and everything takes long */
#elif defined __SANITIZE_ADDRESS__
  static const gsize shifts[] = { 4, 16 }; /* vectors cannot be read, and can */
#else
  static const gsize shifts[] = { 0, 4, 12, 16, 32, 36 };
#endif
  for (int s = 0; s < check->op_case->n_sizes; s++) {
    OpData data;
    OpResult first;
    describe (check->op_case, check->op_case->sizes[s]);
    op_data_init (&data, check->op_case, check->op_case->sizes[s], check->target->element);
    op_run (&data, check->target, 0, &first);
    for (gsize k = 0; k < G_N_ELEMENTS (shifts); k++) {
      OpResult again;
      op_run (&data, check->target, shifts[k], &again);
      assert_same_bits (&first, &again);
      op_result_clear (&again);
    }
    Elsewhere elsewhere = { .data = &data, .target = check->target };
    pthread_t thread;
    g_assert_cmpint (pthread_create (&thread, NULL, run_elsewhere, &elsewhere), ==, 0);
    pthread_join (thread, NULL);
    assert_same_bits (&first, &elsewhere.result);
    op_result_clear (&elsewhere.result);
    op_result_clear (&first);
    op_data_clear (&data);
  }
}

static void
add_test (const Check *check, const char *sentence, GTestDataFunc function) {
  g_autofree char *path
      = g_strdup_printf ("/kernels/%s/%s/%s", check->target->name, check->op_case->op, sentence);
  g_test_add_data_func_full (path, g_memdup2 (check, sizeof *check), function, g_free);
}

void
op_check_add_tests (const OpTarget *target) {
  for (int c = 0; op_cases[c] != NULL; c++) {
    Check check = { .target = target, .op_case = op_cases[c] };
    if (target->element != PW_ELEMENT_F32 && check.op_case->float32_only)
      continue;
    add_test (&check, "values-match-the-double-reference", test_values);
    /* Gradients are computed in every check; differences of the reference look at values alone. */
    if (op_cases[c]->gradient != NULL && TEST_REPEATS (TRUE, FALSE))
      add_test (&check, "gradients-match-finite-differences", test_gradients);
    if (!target->bits_are_checked_elsewhere)
      add_test (&check, "bits-hang-on-values-and-shape-alone", test_bits);
  }
}
