/* Every op of the CUDA backend, its kernels run by the host: the cases of tests/kernels, with the
 * warps in several orders, in fp32 and both half types; then what only this backend has.
 *
 * Tolerances: fp32 as the CPU's (each case's own, 1e-6 to 3e-6 mostly, against the double
 * reference, and 1e-5 against the CPU backend). Of what is stored in bf16 2^-7, in fp16 2^-10;
 * statistics and gradients of parameters are fp32 there, too, and held to fp32's. */
#include "kernels/kernels.h"
#include "tests/device/fake/fake.h"
#include "tests/kernels/op_buffer.h"
#include "tests/kernels/op_half.h"
#include "tests/kernels/op_padding.h"
#include "tests/kernels/op_run.h"
#include <math.h>
#include <string.h>

extern const PwBackend pw_backend_cuda;

/* Every stream has the warps in another order, so bits are compared across orders, too. */
static void
next_seed (PwStream *stream G_GNUC_UNUSED, int variant G_GNUC_UNUSED) {
  static uint64_t seed;
  pw_fake_set_seed (seed++);
}

static const OpTarget cpu = { .name = "cpu", .backend = &pw_backend_cpu };
static const OpTarget cuda = { .name = "cuda", .backend = &pw_backend_cuda, .prepare = next_seed };
G_GNUC_UNUSED static const OpTarget cuda_bf16 = {
  .name = "cuda-bf16", .backend = &pw_backend_cuda, .prepare = next_seed, .element = PW_ELEMENT_BF16
};
static const OpTarget cuda_f16 = {
  .name = "cuda-f16", .backend = &pw_backend_cuda, .prepare = next_seed, .element = PW_ELEMENT_F16
};

static void
assert_near (const GByteArray *got, const GByteArray *want) {
  const float *a = (const float *)(gpointer)got->data, *b = (const float *)(gpointer)want->data;
  double most = 1;
  for (guint i = 0; i < want->len / 4; i++)
    most = fmax (most, fabs ((double)b[i]));
  for (guint i = 0; i < want->len / 4; i++)
    g_assert_cmpfloat (fabs ((double)a[i] - (double)b[i]), <=, 1e-5 * most);
}

static void
assert_near_scalar (const GByteArray *got, const GByteArray *want) {
  double a, b;
  memcpy (&a, got->data, sizeof a);
  memcpy (&b, want->data, sizeof b);
  g_assert_cmpfloat (fabs (a - b), <=, 1e-5 * fmax (1, fabs (b)));
}

static void
test_agreement (gconstpointer argument) {
  const OpCase *op_case = argument;
  for (int s = 0; s < op_case->n_sizes; s++) {
    OpData data;
    OpResult here, there;
    op_data_init (&data, op_case, op_case->sizes[s], PW_ELEMENT_F32);
    op_run (&data, &cuda, 0, &here);
    op_run (&data, &cpu, 0, &there);
    for (int i = 0; i < OP_OPERANDS_MAX; i++) {
      if (here.d[i] != NULL)
        assert_near (here.d[i], there.d[i]);
      if (here.out[i] == NULL)
        continue;
      if (data.outputs[i].kind == OP_OUTPUT_SCALAR)
        assert_near_scalar (here.out[i], there.out[i]);
      else
        assert_near (here.out[i], there.out[i]);
    }
    op_result_clear (&here);
    op_result_clear (&there);
    op_data_clear (&data);
  }
}

/* Not only near: the same elements are kept. */
static void
test_dropout (void) {
  for (int s = 0; s < op_case_dropout.n_sizes; s++) {
    OpData data;
    OpResult here, there;
    op_data_init (&data, &op_case_dropout, op_case_dropout.sizes[s], PW_ELEMENT_F32);
    op_run (&data, &cuda, 0, &here);
    op_run (&data, &cpu, 0, &there);
    op_assert_same_bytes (here.out[0], there.out[0]);
    op_assert_same_bytes (here.d[0], there.d[0]);
    op_result_clear (&here);
    op_result_clear (&there);
    op_data_clear (&data);
  }
}

typedef struct {
  PwOpContext context;
  const PwOps *ops;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
  op_context_init (&fixture->context, &cuda);
  fixture->ops = &pw_backend_cuda.ops;
}

static void
tear_down (Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
  op_context_clear (&fixture->context);
}

static PwTensor
vector (Fixture *fixture, OpBuffer *buffer, PwElement element, const void *values, int64_t n) {
  PwTensor tensor = { .element = element, .n_dims = 2, .dims = { 1, n } };
  op_buffer_init (buffer, &fixture->context, (gsize)pw_tensor_bytes (&tensor), 0);
  op_buffer_write (buffer, values);
  tensor.data = op_buffer_data (buffer);
  return tensor;
}

static void
draw (float *values, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    values[i] = (float)g_test_rand_double_range (-1, 1);
}

#define WEIGHTS 1030
enum { W, MASTER, PLAIN, GRADIENT, M, V, PLAIN_M, PLAIN_V, N_BUFFERS };

/* The same step on a master copy as on fp32 weights; the half weights are the master, rounded. */
static void
check_master (Fixture *fixture, PwElement element, int kind, const float *weights) {
  const PwOptimizerStep step = { .learning_rate = 1e-4,
                                 .momentum = kind == 0 ? 0.9 : 0,
                                 .beta1 = 0.9,
                                 .beta2 = 0.99,
                                 .epsilon = 1e-6,
                                 .weight_decay = 0.1,
                                 .step = 3 };
  OpBuffer b[N_BUFFERS];
  PwTensor t[N_BUFFERS];
  float values[WEIGHTS];
  guint16 halves[WEIGHTS];
  op_halves_from_floats (element, halves, weights, WEIGHTS);
  t[W] = vector (fixture, &b[W], element, halves, WEIGHTS);
  for (int i = MASTER; i <= PLAIN; i++)
    t[i] = vector (fixture, &b[i], PW_ELEMENT_F32, weights, WEIGHTS);
  draw (values, WEIGHTS);
  t[GRADIENT] = vector (fixture, &b[GRADIENT], PW_ELEMENT_F32, values, WEIGHTS);
  for (int i = 0; i < WEIGHTS; i++)
    values[i] = fabsf (values[i]);
  for (int i = M; i < N_BUFFERS; i++)
    t[i] = vector (fixture, &b[i], PW_ELEMENT_F32, values, WEIGHTS);
  PwOpContext *context = &fixture->context;
  const PwOps *ops = fixture->ops;
  GError *error = NULL;
  if (kind == 0) {
    ops->sgd (context, &t[W], &t[MASTER], &t[GRADIENT], &t[M], &step, &error);
    ops->sgd (context, &t[PLAIN], NULL, &t[GRADIENT], &t[PLAIN_M], &step, &error);
  } else {
    __typeof__ (ops->adam) adam = kind == 1 ? ops->adam : ops->adamw;
    adam (context, &t[W], &t[MASTER], &t[GRADIENT], &t[M], &t[V], &step, &error);
    adam (context, &t[PLAIN], NULL, &t[GRADIENT], &t[PLAIN_M], &t[PLAIN_V], &step, &error);
  }
  g_assert_no_error (error);
  float plain[WEIGHTS], master[WEIGHTS];
  guint16 rounded[WEIGHTS];
  op_buffer_read (&b[PLAIN], plain);
  op_buffer_read (&b[MASTER], master);
  op_buffer_read (&b[W], halves);
  op_halves_from_floats (element, rounded, master, WEIGHTS);
  g_assert_cmpint (memcmp (plain, master, sizeof plain), ==, 0);
  g_assert_cmpint (memcmp (plain, weights, sizeof plain), !=, 0);
  g_assert_cmpint (memcmp (halves, rounded, sizeof halves), ==, 0);
  for (int i = 0; i < N_BUFFERS; i++)
    op_buffer_clear (&b[i]);
}

static void
test_master (Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
  float weights[WEIGHTS];
  draw (weights, WEIGHTS);
  for (int kind = 0; kind < 3; kind++) {
    check_master (fixture, PW_ELEMENT_BF16, kind, weights);
    check_master (fixture, PW_ELEMENT_F16, kind, weights);
  }
}

static void
test_master_errors (Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
  PwOptimizerStep step = { .step = 1 };
  float zeros[4] = { 0 };
  OpBuffer buffer, half_buffer;
  PwTensor w = vector (fixture, &buffer, PW_ELEMENT_F32, zeros, 4);
  PwTensor half = vector (fixture, &half_buffer, PW_ELEMENT_BF16, zeros, 4);
  g_autoptr (GError) too_few = NULL, too_many = NULL;
  g_assert_false (fixture->ops->sgd (&fixture->context, &half, NULL, &w, NULL, &step, &too_few));
  g_assert_error (too_few, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED);
  g_assert_false (fixture->ops->adam (&fixture->context, &w, &w, &w, &w, &w, &step, &too_many));
  g_assert_error (too_many, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED);
  op_buffer_clear (&buffer);
  op_buffer_clear (&half_buffer);
}

/* fp32 targets beside a half type's outputs. */
static void
test_targets (Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
  const float x[4] = { 1, 2, 3, 4 }, target[4] = { 0.99f, 2, 3.5f, 1 };
  guint16 halves[4], dx[4];
  double loss = 0.25;
  OpBuffer bx, bt, bd, bl, bw;
  op_halves_from_floats (PW_ELEMENT_BF16, halves, x, 4);
  PwTensor tx = vector (fixture, &bx, PW_ELEMENT_BF16, halves, 4);
  PwTensor tt = vector (fixture, &bt, PW_ELEMENT_F32, target, 4);
  PwTensor td = vector (fixture, &bd, PW_ELEMENT_BF16, halves, 4);
  PwOpContext *context = &fixture->context;
  GError *error = NULL;
  op_buffer_init (&bl, context, sizeof loss, 0);
  op_buffer_write (&bl, &loss);
  op_buffer_init (&bw, context, pw_backend_cuda.workspace.sum (context, 4), 0);
  PwWorkspace workspace = { .data = op_buffer_data (&bw), .bytes = bw.bytes };
  fixture->ops->mse_forward (context, &tx, &tt, 0.5, op_buffer_data (&bl), workspace, &error);
  fixture->ops->mse_input_gradient (context, &tx, &tt, 0.5, &td, &error);
  g_assert_no_error (error);
  op_buffer_read (&bl, &loss);
  op_buffer_read (&bd, dx);
  float got[4];
  op_floats_from_halves (PW_ELEMENT_BF16, got, dx, 4);
  double want = 0.25;
  for (int i = 0; i < 4; i++) {
    double difference = (double)x[i] - (double)target[i];
    want += 0.5 * difference * difference;
    g_assert_cmpfloat_with_epsilon ((double)got[i], difference, 0.01);
  }
  g_assert_cmpfloat_with_epsilon (loss, want, 1e-12);
  OpBuffer *buffers[] = { &bx, &bt, &bd, &bl, &bw };
  for (gsize i = 0; i < G_N_ELEMENTS (buffers); i++)
    op_buffer_clear (buffers[i]);
}

/* It cannot fail where it is called: the row is 0 or left out, and synchronising fails, once. */
static void
test_tokens (Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
  static const int32_t wrong[] = { -1, 3, G_MAXINT32, G_MININT32 };
  enum { ROWS = 3, WORDS = 3, WIDTH = 2 };
  const float table[WORDS * WIDTH] = { 1, 2, 3, 4, 5, 6 };
  PwOpContext *context = &fixture->context;
  for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++) {
    const int32_t tokens[ROWS] = { 2, wrong[i], 1 };
    float y[ROWS * WIDTH], sums[WORDS * WIDTH];
    OpBuffer b[5];
    PwTensor words = vector (fixture, &b[0], PW_ELEMENT_I32, tokens, ROWS);
    PwTensor rows = vector (fixture, &b[1], PW_ELEMENT_F32, table, WORDS * WIDTH);
    PwTensor out = vector (fixture, &b[2], PW_ELEMENT_F32, table, ROWS * WIDTH);
    PwTensor gradient = vector (fixture, &b[3], PW_ELEMENT_F32, table, WORDS * WIDTH);
    rows.dims[0] = out.dims[0] = gradient.dims[0] = 3;
    rows.dims[1] = out.dims[1] = gradient.dims[1] = WIDTH;
    op_buffer_init (&b[4], context,
                    pw_backend_cuda.workspace.embedding (context, ROWS, WORDS, WIDTH), 0);
    PwWorkspace workspace = { .data = op_buffer_data (&b[4]), .bytes = b[4].bytes };
    GError *error = NULL;
    fixture->ops->embedding_forward (context, &words, &rows, &out, &error);
    g_assert_no_error (error);
    g_assert_false (pw_backend_cuda.stream_synchronize (context->stream, &error));
    g_assert_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_INDEX);
    g_clear_error (&error);
    fixture->ops->embedding_weight_gradient (context, &words, &out, &gradient, workspace, &error);
    g_assert_no_error (error);
    g_assert_false (pw_backend_cuda.stream_synchronize (context->stream, &error));
    g_assert_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_INDEX);
    g_clear_error (&error);
    op_buffer_read (&b[2], y);
    op_buffer_read (&b[3], sums);
    for (int c = 0; c < WIDTH; c++) {
      g_assert_cmpfloat (y[c], ==, table[2 * WIDTH + c]);
      g_assert_cmpfloat (y[WIDTH + c], ==, 0);
      g_assert_cmpfloat (sums[c], ==, table[c]);
      g_assert_cmpfloat (sums[WIDTH + c], ==, 2 * table[WIDTH + c]);
    }
    for (gsize k = 0; k < G_N_ELEMENTS (b); k++)
      op_buffer_clear (&b[k]);
  }
}

static void
test_overflow (Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
  static const guint16 bad[] = { 0x7c00, 0xfc00, 0x7e00 }; /* fp16: infinities, NaN */
  enum { N = 1500 };
  guint16 x[N];
  PwOpContext *context = &fixture->context;
  for (int i = 0; i < N; i++)
    x[i] = (guint16)g_test_rand_int_range (0, 0x7c00);
  for (gsize i = 0; i <= G_N_ELEMENTS (bad); i++) {
    if (i > 0)
      x[g_test_rand_int_range (0, N)] = bad[i - 1];
    int32_t overflow = 0;
    OpBuffer bx, flag;
    PwTensor tx = vector (fixture, &bx, PW_ELEMENT_F16, x, N);
    vector (fixture, &flag, PW_ELEMENT_I32, &overflow, 1);
    GError *error = NULL;
    fixture->ops->overflow_check (context, &tx, op_buffer_data (&flag), &error);
    g_assert_no_error (error);
    op_buffer_read (&flag, &overflow);
    g_assert_cmpint (overflow, ==, i > 0);
    op_buffer_clear (&bx);
    op_buffer_clear (&flag);
  }
}

/* A diverging run must show it, and large values neither overflow nor vanish. */
static void
test_extremes (Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
  enum { N = 9 };
  const float x[N] = { -1e30f, -100, -20, 0, 20, 100, 1e30f, NAN, -NAN };
  float y[N], dx[N], relu[N];
  const float ones[N] = { 1, 1, 1, 1, 1, 1, 1, 1, 1 };
  OpBuffer b[5];
  PwTensor tx = vector (fixture, &b[0], PW_ELEMENT_F32, x, N);
  PwTensor ty = vector (fixture, &b[1], PW_ELEMENT_F32, x, N);
  PwTensor tdy = vector (fixture, &b[2], PW_ELEMENT_F32, ones, N);
  PwTensor tdx = vector (fixture, &b[3], PW_ELEMENT_F32, x, N);
  PwTensor trelu = vector (fixture, &b[4], PW_ELEMENT_F32, x, N);
  GError *error = NULL;
  fixture->ops->gelu_forward (&fixture->context, &tx, &ty, &error);
  fixture->ops->gelu_input_gradient (&fixture->context, &tx, &tdy, &tdx, &error);
  fixture->ops->relu_forward (&fixture->context, &tx, &trelu, &error);
  g_assert_no_error (error);
  op_buffer_read (&b[1], y);
  op_buffer_read (&b[3], dx);
  op_buffer_read (&b[4], relu);
  for (int i = 0; i < 7; i++) {
    double slope = x[i] > 0 ? 1 : x[i] < 0 ? 0 : 0.5;
    g_assert_cmpfloat_with_epsilon ((double)dx[i], slope, 1e-5);
    g_assert_cmpfloat_with_epsilon ((double)(y[i] - relu[i]), 0, 1e-5);
  }
  for (int i = 7; i < N; i++)
    g_assert_true (isnan (y[i]) && isnan (dx[i]) && isnan (relu[i]));
  for (gsize i = 0; i < G_N_ELEMENTS (b); i++)
    op_buffer_clear (&b[i]);
}

/* x, dy and the separate ops' dx and sums, then those of both in one, element by element alike. */
static void
check_gelu_bias (Fixture *fixture, PwElement element, int64_t rows, int64_t columns) {
  enum { X, DY, DX, BOTH_DX, SUMS, BOTH_SUMS, N };
  gsize n = (gsize)(rows * columns), width = element == PW_ELEMENT_F32 ? 4 : 2;
  OpBuffer b[N];
  PwTensor t[N];
  g_autofree float *values = g_new0 (float, n);
  g_autofree void *stored = g_malloc0 (4 * n), *again = g_malloc0 (4 * n);
  for (int i = X; i <= BOTH_DX; i++) {
    draw (values, (int64_t)n);
    memcpy (stored, values, 4 * n);
    if (element != PW_ELEMENT_F32)
      op_halves_from_floats (element, stored, values, n);
    t[i] = vector (fixture, &b[i], element, stored, (int64_t)n);
    t[i].dims[0] = rows;
    t[i].dims[1] = columns;
  }
  draw (values, columns);
  for (int i = SUMS; i < N; i++)
    t[i] = vector (fixture, &b[i], PW_ELEMENT_F32, values, columns);
  PwOpContext *context = &fixture->context;
  PwWorkspace workspace = { .bytes = pw_backend_cuda.workspace.linear (context, rows, 1, columns) };
  GError *error = NULL;
  workspace.data = pw_backend_cuda.alloc (context->stream, workspace.bytes + 1, &error);
  const PwTensor w = { .element = element, .n_dims = 2, .dims = { columns, 1 } };
  g_assert_true (fixture->ops->gelu_input_gradient (context, &t[X], &t[DY], &t[DX], &error)
                 && fixture->ops->linear_input_gradient (context, &t[DX], &w, NULL, &t[SUMS],
                                                         workspace, &error)
                 && fixture->ops->gelu_bias_input_gradient (context, &t[X], &t[DY], &t[BOTH_DX],
                                                            &t[BOTH_SUMS], workspace, &error));
  op_buffer_read (&b[DX], stored);
  op_buffer_read (&b[BOTH_DX], again);
  g_assert_cmpint (memcmp (stored, again, n * width), ==, 0);
  op_buffer_read (&b[SUMS], stored);
  op_buffer_read (&b[BOTH_SUMS], again);
  g_assert_cmpint (memcmp (stored, again, (gsize)columns * 4), ==, 0);
  pw_backend_cuda.free (context->stream, workspace.data);
  for (int i = 0; i < N; i++)
    op_buffer_clear (&b[i]);
}

static void
test_gelu_bias (Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
  static const int64_t sizes[][2] = { { 1, 1 }, { 9, 7 }, { 33, 40 }, { 140, 13 }, { 270, 132 } };
  for (gsize s = 0; s < G_N_ELEMENTS (sizes); s++)
    for (PwElement element = PW_ELEMENT_F32; element <= PW_ELEMENT_F16; element++)
      check_gelu_bias (fixture, element, sizes[s][0], sizes[s][1]);
}

static void
add (const char *sentence, void (*test) (Fixture *, gconstpointer)) {
  g_autofree char *path = g_strdup_printf ("/device/ops/%s", sentence);
  g_test_add (path, Fixture, NULL, set_up, test, tear_down);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  op_check_add_tests (&cuda);
  op_check_add_tests (&cuda_f16);
  op_padding_add_tests (&cuda);
  op_padding_add_tests (&cuda_f16);
#ifndef __SANITIZE_THREAD__ /* the same kernels, and the race detector is slow */
  op_check_add_tests (&cuda_bf16);
#endif
  for (int c = 0; op_cases[c] != NULL; c++) {
    g_autofree char *path = g_strdup_printf ("/device/ops/%s/agrees-with-the-cpu", op_cases[c]->op);
    g_test_add_data_func (path, op_cases[c], test_agreement);
  }
  g_test_add_func ("/device/ops/dropout/has-the-bits-of-the-cpu", test_dropout);
  add ("weights-of-a-half-type-follow-their-master", test_master);
  add ("a-master-is-there-if-and-only-if-it-is-needed", test_master_errors);
  add ("fp32-targets-go-with-half-outputs", test_targets);
  add ("gelu-and-bias-gradients-in-one-have-the-bits-of-both", test_gelu_bias);
  add ("tokens-outside-the-table-show-when-synchronised", test_tokens);
  add ("overflow-is-seen-in-half-types", test_overflow);
  add ("nan-and-large-values-are-kept", test_extremes);
  return g_test_run ();
}
