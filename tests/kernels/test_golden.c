/* The CPU's ops against what PyTorch computed (tests/golden/ops/make.py wrote the files). */
#include "kernels/kernels.h"
#include <math.h>
#include <string.h>

#define TOLERANCE 1e-5

typedef struct {
  PwOpContext context;
  GKeyFile *file;
  GPtrArray *owned; /* data of the tensors, g_free */
} Golden;

static Golden *
golden_open (const char *name) {
  GError *error = NULL;
  Golden *golden = g_new0 (Golden, 1);
  g_autofree char *path = g_strdup_printf ("%s/tests/golden/ops/%s.ini", PW_SOURCE_DIR, name);
  golden->file = g_key_file_new ();
  g_key_file_load_from_file (golden->file, path, G_KEY_FILE_NONE, &error);
  g_assert_no_error (error);
  golden->owned = g_ptr_array_new_with_free_func (g_free);
  golden->context.backend = &pw_backend_cpu;
  golden->context.stream = pw_backend_cpu.stream_new (0, &error);
  g_assert_no_error (error);
  return golden;
}

static void
golden_close (Golden *golden) {
  pw_backend_cpu.stream_free (golden->context.stream);
  g_ptr_array_unref (golden->owned);
  g_key_file_unref (golden->file);
  g_free (golden);
}

static double
parameter (Golden *golden, const char *key) {
  GError *error = NULL;
  double value = g_key_file_get_double (golden->file, "parameters", key, &error);
  g_assert_no_error (error);
  return value;
}

static double *
values (Golden *golden, const char *group, gsize *n) {
  GError *error = NULL;
  double *list = g_key_file_get_double_list (golden->file, group, "values", n, &error);
  g_assert_no_error (error);
  g_ptr_array_add (golden->owned, list);
  return list;
}

/* A tensor of the file's shape, zeroed. */
static PwTensor
blank (Golden *golden, const char *group, PwElement element) {
  GError *error = NULL;
  gsize n_dims = 0;
  PwTensor tensor = { .element = element };
  g_autofree int *dims = g_key_file_get_integer_list (golden->file, group, "dims", &n_dims, &error);
  g_assert_no_error (error);
  tensor.n_dims = (int)n_dims;
  for (gsize d = 0; d < n_dims; d++)
    tensor.dims[d] = dims[d];
  tensor.data = g_malloc0 ((gsize)pw_tensor_bytes (&tensor));
  g_ptr_array_add (golden->owned, tensor.data);
  return tensor;
}

static PwTensor
loaded (Golden *golden, const char *group, PwElement element) {
  PwTensor tensor = blank (golden, group, element);
  gsize n;
  const double *value = values (golden, group, &n);
  g_assert_cmpint ((gint64)n, ==, pw_tensor_elements (&tensor));
  for (gsize i = 0; i < n; i++) {
    if (element == PW_ELEMENT_I32)
      ((int32_t *)tensor.data)[i] = (int32_t)value[i];
    else
      ((float *)tensor.data)[i] = (float)value[i];
  }
  return tensor;
}

static PwTensor
input (Golden *golden, const char *group) {
  return loaded (golden, group, PW_ELEMENT_F32);
}

static PwTensor
output (Golden *golden, const char *group) {
  return blank (golden, group, PW_ELEMENT_F32);
}

/* 1e-5 of the value, or of a tenth of the tensor's largest where terms cancel. */
static void
assert_equals (Golden *golden, const char *group, const PwTensor *got) {
  gsize n;
  const double *want = values (golden, group, &n);
  double most = 0;
  for (gsize i = 0; i < n; i++)
    most = fmax (most, fabs (want[i]));
  for (gsize i = 0; i < n; i++) {
    double allowed = TOLERANCE * fmax (fabs (want[i]), 0.1 * most);
    g_assert_cmpfloat_with_epsilon ((double)((const float *)got->data)[i], want[i], allowed);
  }
}

static PwWorkspace
workspace (Golden *golden, gsize bytes) {
  PwWorkspace memory = { .data = g_malloc (bytes + 1), .bytes = bytes };
  g_ptr_array_add (golden->owned, memory.data);
  return memory;
}

#define ASSERT_DONE(call)                                                                          \
  G_STMT_START {                                                                                   \
    GError *error = NULL;                                                                          \
    gboolean done = (call);                                                                        \
    g_assert_no_error (error);                                                                     \
    g_assert_true (done);                                                                          \
  }                                                                                                \
  G_STMT_END

static void
test_linear (void) {
  Golden *golden = golden_open ("linear");
  PwOpContext *context = &golden->context;
  const PwOps *ops = &context->backend->ops;
  PwTensor x = input (golden, "x"), w = input (golden, "w"), bias = input (golden, "bias");
  PwTensor dy = input (golden, "dy"), y = output (golden, "y"), dx = output (golden, "dx");
  PwTensor dw = output (golden, "dw"), dbias = output (golden, "dbias");
  PwWorkspace memory = workspace (
      golden, context->backend->workspace.linear (context, x.dims[0], x.dims[1], y.dims[1]));
  ASSERT_DONE (ops->linear_forward (context, &x, &w, &bias, &y, memory, &error));
  ASSERT_DONE (ops->linear_input_gradient (context, &dy, &w, &dx, &dbias, memory, &error));
  ASSERT_DONE (ops->linear_weight_gradient (context, &x, &dy, &dw, memory, &error));
  assert_equals (golden, "y", &y);
  assert_equals (golden, "dx", &dx);
  assert_equals (golden, "dw", &dw);
  assert_equals (golden, "dbias", &dbias);
  golden_close (golden);
}

static void
test_gelu (void) {
  Golden *golden = golden_open ("gelu");
  PwOpContext *context = &golden->context;
  PwTensor x = input (golden, "x"), dy = input (golden, "dy");
  PwTensor y = output (golden, "y"), dx = output (golden, "dx");
  ASSERT_DONE (context->backend->ops.gelu_forward (context, &x, &y, &error));
  ASSERT_DONE (context->backend->ops.gelu_input_gradient (context, &x, &dy, &dx, &error));
  assert_equals (golden, "y", &y);
  assert_equals (golden, "dx", &dx);
  golden_close (golden);
}

static void
test_layernorm (void) {
  Golden *golden = golden_open ("layernorm");
  PwOpContext *context = &golden->context;
  const PwOps *ops = &context->backend->ops;
  PwTensor x = input (golden, "x"), gain = input (golden, "gain"), bias = input (golden, "bias");
  PwTensor dy = input (golden, "dy"), y = output (golden, "y"), dx = output (golden, "dx");
  PwTensor dgain = output (golden, "dgain"), dbias = output (golden, "dbias");
  float means[4], rstds[4];
  g_assert_cmpint (pw_tensor_rows (&x), ==, G_N_ELEMENTS (means));
  PwTensor mean = { .data = means, .element = PW_ELEMENT_F32, .n_dims = 1, .dims = { 4 } };
  PwTensor rstd = { .data = rstds, .element = PW_ELEMENT_F32, .n_dims = 1, .dims = { 4 } };
  PwWorkspace memory
      = workspace (golden, context->backend->workspace.layernorm (context, 4, x.dims[1]));
  ASSERT_DONE (ops->layernorm_forward (context, &x, &gain, &bias, parameter (golden, "epsilon"), &y,
                                       &mean, &rstd, &error));
  ASSERT_DONE (ops->layernorm_input_gradient (context, &x, &gain, &mean, &rstd, &dy, &dx, &dgain,
                                              &dbias, memory, &error));
  assert_equals (golden, "y", &y);
  assert_equals (golden, "dx", &dx);
  assert_equals (golden, "dgain", &dgain);
  assert_equals (golden, "dbias", &dbias);
  golden_close (golden);
}

static void
test_rmsnorm (void) {
  Golden *golden = golden_open ("rmsnorm");
  PwOpContext *context = &golden->context;
  const PwOps *ops = &context->backend->ops;
  PwTensor x = input (golden, "x"), gain = input (golden, "gain"), dy = input (golden, "dy");
  PwTensor y = output (golden, "y"), dx = output (golden, "dx"), dgain = output (golden, "dgain");
  int64_t rows = pw_tensor_rows (&x);
  PwTensor rstd = { .element = PW_ELEMENT_F32, .n_dims = 1, .dims = { rows } };
  rstd.data = workspace (golden, (gsize)pw_tensor_bytes (&rstd)).data;
  PwWorkspace memory
      = workspace (golden, context->backend->workspace.layernorm (context, rows, x.dims[1]));
  ASSERT_DONE (
      ops->rmsnorm_forward (context, &x, &gain, parameter (golden, "epsilon"), &y, &rstd, &error));
  ASSERT_DONE (
      ops->rmsnorm_input_gradient (context, &x, &gain, &rstd, &dy, &dx, &dgain, memory, &error));
  assert_equals (golden, "y", &y);
  assert_equals (golden, "dx", &dx);
  assert_equals (golden, "dgain", &dgain);
  golden_close (golden);
}

static void
test_attention (void) {
  Golden *golden = golden_open ("attention");
  PwOpContext *context = &golden->context;
  const PwOps *ops = &context->backend->ops;
  int64_t heads = (int64_t)parameter (golden, "heads");
  PwTensor qkv = input (golden, "qkv"), dy = input (golden, "dy");
  PwTensor y = output (golden, "y"), dqkv = output (golden, "dqkv");
  int64_t batch = y.dims[0], tokens = y.dims[1];
  PwTensor lse = { .element = PW_ELEMENT_F32, .n_dims = 3, .dims = { batch, heads, tokens } };
  lse.data = workspace (golden, (gsize)pw_tensor_bytes (&lse)).data;
  PwWorkspace memory
      = workspace (golden, context->backend->workspace.attention (context, PW_ELEMENT_F32, TRUE,
                                                                  batch, heads, tokens, y.dims[2]));
  ASSERT_DONE (ops->attention_forward (context, &qkv, heads, TRUE, NULL, &y, &lse, memory, &error));
  ASSERT_DONE (ops->attention_input_gradient (context, &qkv, heads, TRUE, NULL, &y, &lse, &dy,
                                              &dqkv, memory, &error));
  assert_equals (golden, "y", &y);
  assert_equals (golden, "dqkv", &dqkv);
  golden_close (golden);
}

static void
test_cross_entropy (void) {
  Golden *golden = golden_open ("cross_entropy");
  PwOpContext *context = &golden->context;
  const PwOps *ops = &context->backend->ops;
  PwTensor x = input (golden, "x"), targets = loaded (golden, "targets", PW_ELEMENT_I32);
  PwTensor dx = output (golden, "dx");
  PwTensor lse = { .element = PW_ELEMENT_F32, .n_dims = 1, .dims = { pw_tensor_rows (&x) } };
  lse.data = workspace (golden, (gsize)pw_tensor_bytes (&lse)).data;
  double loss = 0, scale = parameter (golden, "scale");
  gsize n;
  const double *want = values (golden, "loss", &n);
  ASSERT_DONE (ops->cross_entropy_forward (context, &x, &targets, scale, &lse, &loss, &error));
  ASSERT_DONE (ops->cross_entropy_input_gradient (context, &x, &lse, &targets, scale, &dx, &error));
  g_assert_cmpfloat_with_epsilon (loss, want[0], TOLERANCE * want[0]);
  assert_equals (golden, "dx", &dx);
  golden_close (golden);
}

/* Which optimiser a file is for, and whether it has a momentum. */
typedef struct {
  const char *file;
  gboolean adam, decoupled, momentum;
} Optimizer;

static gboolean
optimizer_step (PwOpContext *context, const Optimizer *optimizer, PwTensor *w,
                const PwTensor *gradient, PwTensor *m, PwTensor *v, const PwOptimizerStep *step,
                GError **error) {
  const PwOps *ops = &context->backend->ops;
  if (!optimizer->adam)
    return ops->sgd (context, w, NULL, gradient, optimizer->momentum ? m : NULL, step, error);
  return (optimizer->decoupled ? ops->adamw : ops->adam) (context, w, NULL, gradient, m, v, step,
                                                          error);
}

static void
test_optimizer (gconstpointer argument) {
  const Optimizer *optimizer = argument;
  Golden *golden = golden_open (optimizer->file);
  PwTensor w = input (golden, "w0"), m = output (golden, "w0"), v = output (golden, "w0");
  PwOptimizerStep step = { .learning_rate = parameter (golden, "learning_rate"),
                           .weight_decay = parameter (golden, "weight_decay") };
  if (optimizer->adam) {
    step.beta1 = parameter (golden, "beta1");
    step.beta2 = parameter (golden, "beta2");
    step.epsilon = parameter (golden, "epsilon");
  } else {
    step.momentum = parameter (golden, "momentum");
  }
  int64_t steps = (int64_t)parameter (golden, "steps");
  for (step.step = 1; step.step <= steps; step.step++) {
    g_autofree char *gradient_group = g_strdup_printf ("gradient%d", (int)step.step);
    g_autofree char *weight_group = g_strdup_printf ("w%d", (int)step.step);
    PwTensor gradient = input (golden, gradient_group);
    ASSERT_DONE (
        optimizer_step (&golden->context, optimizer, &w, &gradient, &m, &v, &step, &error));
    assert_equals (golden, weight_group, &w);
  }
  golden_close (golden);
}

int
main (int argc, char **argv) {
  static const Optimizer sgd = { .file = "sgd", .momentum = TRUE };
  static const Optimizer sgd_plain = { .file = "sgd-plain" };
  static const Optimizer adam = { .file = "adam", .adam = TRUE };
  static const Optimizer adamw = { .file = "adamw", .adam = TRUE, .decoupled = TRUE };
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/kernels/golden/linear-is-torch's", test_linear);
  g_test_add_func ("/kernels/golden/gelu-is-torch's", test_gelu);
  g_test_add_func ("/kernels/golden/layernorm-is-torch's", test_layernorm);
  g_test_add_func ("/kernels/golden/rmsnorm-is-torch's", test_rmsnorm);
  g_test_add_func ("/kernels/golden/causal-attention-is-torch's", test_attention);
  g_test_add_func ("/kernels/golden/cross-entropy-is-torch's", test_cross_entropy);
  g_test_add_data_func ("/kernels/golden/sgd-with-momentum-is-torch's", &sgd, test_optimizer);
  g_test_add_data_func ("/kernels/golden/plain-sgd-is-torch's", &sgd_plain, test_optimizer);
  g_test_add_data_func ("/kernels/golden/adam-is-torch's", &adam, test_optimizer);
  g_test_add_data_func ("/kernels/golden/adamw-is-torch's", &adamw, test_optimizer);
  return g_test_run ();
}
