/* Attention by cuDNN's graphs, which the fake library evaluates node by node, against the own
 * kernels, against the CPU backend; and when which of the two is taken. */
#include "kernels/cuda/attention_graph_private.h"
#include "kernels/kernels.h"
#include "tests/device/fake/fake.h"
#include "tests/kernels/op_buffer.h"
#include "tests/kernels/op_half.h"
#include <math.h>
#include <string.h>

extern const PwBackend pw_backend_cuda;

typedef struct {
  PwElement element;
  gboolean causal;
  int64_t batch, tokens, heads, width;
} Case;

static const Case cases[] = {
  { PW_ELEMENT_BF16, TRUE, 2, 64, 2, 8 }, { PW_ELEMENT_BF16, FALSE, 2, 64, 2, 8 },
  { PW_ELEMENT_F16, TRUE, 1, 33, 3, 16 }, { PW_ELEMENT_F16, FALSE, 3, 20, 1, 24 },
  { PW_ELEMENT_BF16, TRUE, 1, 2, 4, 64 }, { PW_ELEMENT_F16, FALSE, 2, 7, 2, 128 },
};

enum { QKV, Y_, LSE_, DY_, DQKV, WORKSPACE, N_BUFFERS };

/* One attention with its operands on a stream, and as floats. */
typedef struct {
  const Case *c;
  PwOpContext context;
  OpBuffer buffers[N_BUFFERS];
  PwTensor tensors[N_BUFFERS];
} Attention;

static int64_t
features (const Case *c) {
  return c->heads * c->width;
}

static int64_t
elements (const Case *c, int which) {
  const int64_t rows = c->batch * c->tokens;
  if (which == LSE_)
    return rows * c->heads;
  return rows * features (c) * (which == QKV || which == DQKV ? 3 : 1);
}

static void
put (Attention *a, int which, const float *values) {
  const int64_t n = elements (a->c, which);
  g_autofree guint16 *halves = g_new (guint16, (gsize)n);
  if (a->c->element == PW_ELEMENT_F32) {
    op_buffer_write (&a->buffers[which], values);
    return;
  }
  op_halves_from_floats (a->c->element, halves, values, (gsize)n);
  op_buffer_write (&a->buffers[which], halves);
}

static float *
get (Attention *a, int which) {
  const int64_t n = elements (a->c, which);
  float *values = g_new (float, (gsize)n);
  g_autofree guint16 *halves = g_new (guint16, (gsize)n);
  if (a->tensors[which].element == PW_ELEMENT_F32) {
    op_buffer_read (&a->buffers[which], values);
    return values;
  }
  op_buffer_read (&a->buffers[which], halves);
  op_floats_from_halves (a->c->element, values, halves, (gsize)n);
  return values;
}

static void
attention_init (Attention *a, const PwBackend *backend, const Case *c) {
  GError *error = NULL;
  *a = (Attention){ .c = c, .context = { .backend = backend, .rank = 3, .layer = 7 } };
  a->context.stream = backend->stream_new (0, &error);
  g_assert_no_error (error);
  for (int i = 0; i < WORKSPACE; i++) {
    const int64_t wide = features (c) * (i == QKV || i == DQKV ? 3 : 1);
    a->tensors[i]
        = (PwTensor){ .element = c->element, .n_dims = 3, .dims = { c->batch, c->tokens, wide } };
    if (i == LSE_)
      a->tensors[i] = (PwTensor){ .n_dims = 3, .dims = { c->batch, c->heads, c->tokens } };
    op_buffer_init (&a->buffers[i], &a->context, (gsize)pw_tensor_bytes (&a->tensors[i]), 0);
    a->tensors[i].data = op_buffer_data (&a->buffers[i]);
  }
  op_buffer_init (&a->buffers[WORKSPACE], &a->context,
                  backend->workspace.attention (&a->context, c->element, c->causal, c->batch,
                                                c->heads, c->tokens, features (c)),
                  0);
}

static void
attention_clear (Attention *a) {
  for (int i = 0; i < N_BUFFERS; i++) {
    op_buffer_read (&a->buffers[i], NULL);
    op_buffer_clear (&a->buffers[i]);
  }
  a->context.backend->stream_free (a->context.stream);
}

static PwWorkspace
workspace (Attention *a) {
  return (PwWorkspace){ op_buffer_data (&a->buffers[WORKSPACE]), a->buffers[WORKSPACE].bytes };
}

static gboolean
forward (Attention *a, GError **error) {
  return a->context.backend->ops.attention_forward (&a->context, &a->tensors[QKV], a->c->heads,
                                                    a->c->causal, NULL, &a->tensors[Y_],
                                                    &a->tensors[LSE_], workspace (a), error);
}

static gboolean
input_gradient (Attention *a, GError **error) {
  return a->context.backend->ops.attention_input_gradient (
      &a->context, &a->tensors[QKV], a->c->heads, a->c->causal, NULL, &a->tensors[Y_],
      &a->tensors[LSE_], &a->tensors[DY_], &a->tensors[DQKV], workspace (a), error);
}

static void
run (Attention *a, const float *qkv, const float *dy) {
  GError *error = NULL;
  put (a, QKV, qkv);
  put (a, DY_, dy);
  g_assert_true (forward (a, &error) && input_gradient (a, &error));
  g_assert_no_error (error);
}

static float *
draw (const Case *c, int which) {
  const int64_t n = elements (c, which);
  float *values = g_new (float, (gsize)n);
  for (int64_t i = 0; i < n; i++)
    values[i] = op_round (c->element, (float)g_test_rand_double_range (-1.5, 1.5));
  return values;
}

/* The farthest apart, against the greatest. */
static double
distance (const float *a, const float *b, int64_t n) {
  double apart = 0, greatest = 0;
  for (int64_t i = 0; i < n; i++) {
    if (!isfinite (a[i]))
      return INFINITY;
    apart = fmax (apart, fabs ((double)a[i] - (double)b[i]));
    greatest = fmax (greatest, fabs ((double)b[i]));
  }
  return apart / greatest;
}

/* Of y, lse and the gradient, the worst in units of what the type resolves. */
static double
worst (Attention *a, Attention *b) {
  const double unit = a->c->element == PW_ELEMENT_BF16 ? 1.0 / 256 : 1.0 / 2048;
  static const int compared[] = { Y_, LSE_, DQKV };
  double result = 0;
  for (gsize i = 0; i < G_N_ELEMENTS (compared); i++) {
    g_autofree float *x = get (a, compared[i]);
    g_autofree float *y = get (b, compared[i]);
    const double apart = distance (x, y, elements (a->c, compared[i]));
    result = fmax (result, compared[i] == LSE_ ? apart / 1e-5 : apart / unit);
  }
  return result;
}

/* cuDNN, and a stream that has none. */
static void
init_both (Attention *library, Attention *own, const Case *c) {
  attention_init (library, &pw_backend_cuda, c);
  pw_fake_cudnn_refuse_handles (TRUE);
  attention_init (own, &pw_backend_cuda, c);
  pw_fake_cudnn_refuse_handles (FALSE);
}

#define UNITS 3 /* two roundings apart, and of sums */

static void
test_values (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    const Case *c = &cases[i];
    Case floats = *c;
    floats.element = PW_ELEMENT_F32;
    Attention library, own, cpu;
    g_autofree float *qkv = draw (c, QKV);
    g_autofree float *dy = draw (c, DY_);
    init_both (&library, &own, c);
    attention_init (&cpu, &pw_backend_cpu, &floats);
    const long before = pw_fake_cudnn_executions ();
    run (&own, qkv, dy);
    g_assert_cmpint (pw_fake_cudnn_executions (), ==, before);
    run (&library, qkv, dy);
    g_assert_cmpint (pw_fake_cudnn_executions (), ==, before + 2);
    run (&cpu, qkv, dy);
    g_assert_cmpfloat (worst (&library, &own), <, UNITS);
    g_assert_cmpfloat (worst (&library, &cpu), <, UNITS);
    attention_clear (&library);
    attention_clear (&own);
    attention_clear (&cpu);
  }
  g_assert_cmpint (pw_fake_cudnn_live_descriptors (), ==, 0);
}

/* lse and y of one, the gradient of the other. */
static void
test_either_gradient (void) {
  const Case *c = &cases[0];
  GError *error = NULL;
  Attention library, own;
  g_autofree float *qkv = draw (c, QKV);
  g_autofree float *dy = draw (c, DY_);
  init_both (&library, &own, c);
  run (&library, qkv, dy);
  run (&own, qkv, dy);
  g_autofree float *y = get (&library, Y_);
  g_autofree float *lse = get (&library, LSE_);
  put (&own, Y_, y);
  op_buffer_write (&own.buffers[LSE_], lse);
  g_assert_true (input_gradient (&own, &error));
  g_assert_no_error (error);
  g_assert_cmpfloat (worst (&library, &own), <, UNITS);
  attention_clear (&library);
  attention_clear (&own);
}

static void
test_own_shapes (void) {
  static const Case others[] = {
    { PW_ELEMENT_F32, TRUE, 1, 16, 1, 8 },
    { PW_ELEMENT_BF16, TRUE, 1, 16, 2, 12 },
    { PW_ELEMENT_BF16, TRUE, 1, 1, 1, 8 },
    { PW_ELEMENT_F16, TRUE, 1, 5, 1, 136 },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (others); i++) {
    Attention a;
    g_autofree float *qkv = draw (&others[i], QKV);
    g_autofree float *dy = draw (&others[i], DY_);
    attention_init (&a, &pw_backend_cuda, &others[i]);
    const long before = pw_fake_cudnn_executions ();
    run (&a, qkv, dy);
    run (&a, qkv, dy);
    g_assert_cmpint (pw_fake_cudnn_executions (), ==, before);
    attention_clear (&a);
  }
  g_assert_cmpint (pw_fake_cudnn_live_descriptors (), ==, 0);
}

/* Nothing is compiled again for a shape that is known. */
static void
test_plans_are_kept (void) {
  Attention a;
  g_autofree float *qkv = draw (&cases[0], QKV);
  g_autofree float *dy = draw (&cases[0], DY_);
  attention_init (&a, &pw_backend_cuda, &cases[0]);
  const long made = pw_fake_cudnn_live_descriptors ();
  g_assert_cmpint (made, >, 0);
  for (int i = 0; i < 3; i++)
    run (&a, qkv, dy);
  g_assert_cmpint (pw_fake_cudnn_live_descriptors (), ==, made);
  attention_clear (&a);
}

static void
test_name (void) {
  g_autofree char *name
      = g_strdup_printf ("cuDNN %d.%d.%d", CUDNN_MAJOR, CUDNN_MINOR, CUDNN_PATCHLEVEL);
  g_assert_cmpstr (pw_backend_cuda.attention_library (), ==, name);
}

static void
test_failure (void) {
  Attention a;
  g_autoptr (GError) error = NULL;
  attention_init (&a, &pw_backend_cuda, &cases[0]);
  pw_fake_cudnn_fail_execution (1);
  g_assert_false (forward (&a, &error));
  g_assert_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_LIBRARY);
  g_assert_nonnull (strstr (error->message, "rank 3, layer 7: attention_forward: cuDNN: CUDNN_"));
  attention_clear (&a);
}

/* A stride that is wrong in any tensor in memory changes the result: what makes the tests above say
 * something of strides. */
static void
test_planted_strides (void) {
  static const int ids[] = { Q, K_T, V, V_T, Y, LSE, DY, DQ, DK, DV };
  static const Case c = { PW_ELEMENT_BF16, TRUE, 2, 8, 2, 8 };
  g_autofree float *qkv = draw (&c, QKV);
  g_autofree float *dy = draw (&c, DY_);
  for (gsize i = 0; i < G_N_ELEMENTS (ids); i++)
    for (int d = 0; d < PW_CUDNN_DIMS - 1; d++) {
      const gboolean turned = ids[i] == K_T || ids[i] == V_T;
      Attention library, own;
      pw_fake_cudnn_shift_stride (ids[i], turned && d == 2 ? 3 : d, ids[i] == LSE ? -1 : -8);
      init_both (&library, &own, &c);
      run (&own, qkv, dy);
      run (&library, qkv, dy);
      g_assert_cmpfloat (worst (&library, &own), >, 2 * UNITS);
      attention_clear (&library);
      attention_clear (&own);
    }
  pw_fake_cudnn_shift_stride (0, 0, 0);
}

/* In a process of its own: the library is looked for once. */
static void
assert_unused (void) {
  Attention a;
  g_autofree float *qkv = draw (&cases[0], QKV);
  g_autofree float *dy = draw (&cases[0], DY_);
  attention_init (&a, &pw_backend_cuda, &cases[0]);
  run (&a, qkv, dy);
  g_assert_cmpint (pw_fake_cudnn_executions (), ==, 0);
  g_assert_cmpint (pw_fake_cudnn_live_descriptors (), ==, 0);
  g_assert_null (pw_backend_cuda.attention_library ());
  attention_clear (&a);
}

static void
test_turned_off (void) {
  if (g_test_subprocess ()) {
    g_setenv ("PW_CUDNN", "0", TRUE);
    assert_unused ();
    return;
  }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_passed ();
}

static void
test_old_library (void) {
  if (g_test_subprocess ()) {
    pw_fake_cudnn_set_version (91001);
    assert_unused ();
    return;
  }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_passed ();
}

/* Before 9.16: 64 tokens there by the library, back by the own kernels. */
static void
test_broken_tiles (void) {
  if (g_test_subprocess ()) {
    Attention a;
    g_autofree float *qkv = draw (&cases[0], QKV);
    g_autofree float *dy = draw (&cases[0], DY_);
    pw_fake_cudnn_set_version (91500);
    attention_init (&a, &pw_backend_cuda, &cases[0]);
    run (&a, qkv, dy);
    g_assert_cmpint (pw_fake_cudnn_executions (), ==, 1);
    attention_clear (&a);
    return;
  }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_passed ();
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/device/cudnn/values-and-lse-are-those-of-the-own-kernels", test_values);
  g_test_add_func ("/device/cudnn/either-takes-the-other-gradient", test_either_gradient);
  g_test_add_func ("/device/cudnn/what-it-does-not-take-is-for-the-own-kernels", test_own_shapes);
  g_test_add_func ("/device/cudnn/plans-are-kept", test_plans_are_kept);
  g_test_add_func ("/device/cudnn/a-failure-names-op-layer-and-rank", test_failure);
  g_test_add_func ("/device/cudnn/its-name-has-the-version", test_name);
  g_test_add_func ("/device/cudnn/wrong-strides-are-found", test_planted_strides);
  g_test_add_func ("/device/cudnn/it-can-be-turned-off", test_turned_off);
  g_test_add_func ("/device/cudnn/an-old-library-is-left-alone", test_old_library);
  g_test_add_func ("/device/cudnn/gradients-of-broken-tiles-need-9.16", test_broken_tiles);
  return g_test_run ();
}
