/* What the contract says beside the numbers: optional arguments, errors, masks, devices, and the
 * backend that does nothing. */
#include "kernels/kernels.h"
#include "kernels/module.h"
#include <math.h>
#include <string.h>

typedef struct {
  PwOpContext context;
  const PwOps *ops;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer backend) {
  GError *error = NULL;
  *fixture = (Fixture){ .context = { .backend = backend, .layer = 5, .microbatch = 2 } };
  fixture->context.stream = fixture->context.backend->stream_new (0, &error);
  g_assert_no_error (error);
  fixture->ops = &fixture->context.backend->ops;
}

static void
tear_down (Fixture *fixture, gconstpointer backend G_GNUC_UNUSED) {
  fixture->context.backend->stream_free (fixture->context.stream);
}

static PwTensor
matrix (void *data, int64_t rows, int64_t columns) {
  return (
      PwTensor){ .data = data, .element = PW_ELEMENT_F32, .n_dims = 2, .dims = { rows, columns } };
}

static PwTensor
vector (void *data, PwElement element, int64_t n) {
  return (PwTensor){ .data = data, .element = element, .n_dims = 1, .dims = { n } };
}

static void
draw (float *values, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    values[i] = (float)g_test_rand_double_range (-2, 2);
}

static void
test_tensors (void) {
  PwTensor scalar = { .element = PW_ELEMENT_F32 };
  g_assert_cmpint (pw_tensor_elements (&scalar), ==, 1);
  g_assert_cmpint (pw_tensor_last_dim (&scalar), ==, 1);
  g_assert_cmpint (pw_tensor_rows (&scalar), ==, 1);
  PwTensor cube = { .element = PW_ELEMENT_BF16, .n_dims = 3, .dims = { 2, 3, 5 } };
  g_assert_cmpint (pw_tensor_elements (&cube), ==, 30);
  g_assert_cmpint (pw_tensor_bytes (&cube), ==, 60);
  g_assert_cmpint (pw_tensor_last_dim (&cube), ==, 5);
  g_assert_cmpint (pw_tensor_rows (&cube), ==, 6);
  PwTensor indices = vector (NULL, PW_ELEMENT_I32, 7);
  g_assert_cmpint (pw_tensor_bytes (&indices), ==, 28);
  g_assert_cmpint (pw_tensor_rows (&indices), ==, 1);
}

static void
test_names (void) {
  g_autoptr (GError) error = NULL;
  g_assert_true (pw_backend_get ("cpu", &error) == &pw_backend_cpu);
  g_assert_true (pw_backend_get ("empty", &error) == &pw_backend_empty);
  g_assert_no_error (error);
  g_assert_null (pw_backend_get ("abacus", &error));
  g_assert_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED);
  g_assert_cmpstr (error->message, ==, "there is no backend \"abacus\"");
}

static void
test_memory (Fixture *fixture, gconstpointer argument) {
  const PwBackend *backend = argument;
  PwStream *stream = fixture->context.stream;
  GError *error = NULL;
  static const gsize sizes[] = { 0, 1, 63, 64, 65, 4097 };
  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++) {
    guchar *memory = backend->alloc (stream, sizes[i], &error);
    g_assert_no_error (error);
    g_assert_cmpuint ((gsize)memory % 64, ==, 0);
    g_autofree guchar *host = g_malloc (sizes[i] + 1);
    memset (host, 7, sizes[i]);
    g_assert_true (backend->copy_from_host (stream, memory, host, sizes[i], &error));
    g_assert_true (backend->zero (stream, memory, sizes[i] / 2, &error));
    g_assert_true (backend->copy_to_host (stream, host, memory, sizes[i], &error));
    g_assert_true (backend->stream_synchronize (stream, &error));
    for (gsize k = 0; k < sizes[i]; k++)
      g_assert_cmpuint (host[k], ==, k < sizes[i] / 2 ? 0 : 7);
    backend->free (stream, memory);
  }
  backend->free (stream, NULL);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static void
test_out_of_memory (Fixture *fixture, gconstpointer argument) {
  const PwBackend *backend = argument;
  g_autoptr (GError) error = NULL;
  g_assert_null (backend->alloc (fixture->context.stream, G_MAXSSIZE, &error));
  g_assert_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_MEMORY);
}
#endif

static void
test_events (Fixture *fixture, gconstpointer argument) {
  const PwBackend *backend = argument;
  PwStream *stream = fixture->context.stream;
  GError *error = NULL;
  PwEvent *first = backend->event_new (&error), *second = backend->event_new (&error);
  g_assert_true (backend->event_record (first, stream, &error));
  g_assert_true (backend->event_wait (first, stream, &error));
  double before = 0, after = 0;
  g_assert_true (backend->timestamp_record (first, stream, &error));
  g_assert_true (backend->timestamp_record (second, stream, &error));
  g_assert_true (backend->timestamp_read (first, &before, &error));
  g_assert_true (backend->timestamp_read (second, &after, &error));
  g_assert_cmpfloat (before, >, 0);
  g_assert_cmpfloat (after, >=, before);
  backend->event_free (first);
  backend->event_free (second);
}

static void
test_token_errors (Fixture *fixture, gconstpointer backend G_GNUC_UNUSED) {
  static const struct {
    int32_t token;
    const char *message;
  } cases[] = {
    { .token = -1, .message = "token 2 is -1" },
    { .token = 4, .message = "token 2 is 4; it must be at least 0 and less than 4" },
    { .token = G_MAXINT32, .message = "layer 5, micro-batch 2: token 2 is 2147483647" },
    { .token = G_MININT32, .message = "token 2 is -2147483648" },
  };
  float table[4 * 3] = { 0 }, y[3 * 3] = { 0 };
  PwTensor table_tensor = matrix (table, 4, 3), y_tensor = matrix (y, 3, 3);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    int32_t tokens[3] = { 0, 3, cases[i].token };
    PwTensor token_tensor = vector (tokens, PW_ELEMENT_I32, 3);
    g_autoptr (GError) forward = NULL;
    g_assert_false (fixture->ops->embedding_forward (&fixture->context, &token_tensor,
                                                     &table_tensor, &y_tensor, &forward));
    g_assert_error (forward, PW_KERNEL_ERROR, PW_KERNEL_ERROR_INDEX);
    g_assert_nonnull (strstr (forward->message, cases[i].message));
    g_autoptr (GError) gradient = NULL;
    g_assert_false (fixture->ops->embedding_weight_gradient (
        &fixture->context, &token_tensor, &y_tensor, &table_tensor, (PwWorkspace){ 0 }, &gradient));
    g_assert_error (gradient, PW_KERNEL_ERROR, PW_KERNEL_ERROR_INDEX);
  }
}

static void
test_target_errors (Fixture *fixture, gconstpointer backend G_GNUC_UNUSED) {
  static const int32_t wrong[] = { -2, 3, G_MAXINT32, G_MININT32 };
  float x[2 * 3] = { 0 }, dx[2 * 3] = { 0 }, lse[2] = { 0 };
  PwTensor x_tensor = matrix (x, 2, 3), dx_tensor = matrix (dx, 2, 3);
  PwTensor lse_tensor = vector (lse, PW_ELEMENT_F32, 2);
  for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++) {
    int32_t targets[2] = { -1, wrong[i] };
    PwTensor target_tensor = vector (targets, PW_ELEMENT_I32, 2);
    double loss = 0;
    g_autoptr (GError) forward = NULL;
    g_assert_false (fixture->ops->cross_entropy_forward (
        &fixture->context, &x_tensor, &target_tensor, 1, &lse_tensor, &loss, &forward));
    g_assert_error (forward, PW_KERNEL_ERROR, PW_KERNEL_ERROR_INDEX);
    g_autoptr (GError) gradient = NULL;
    g_assert_false (fixture->ops->cross_entropy_input_gradient (
        &fixture->context, &x_tensor, &lse_tensor, &target_tensor, 1, &dx_tensor, &gradient));
    g_assert_error (gradient, PW_KERNEL_ERROR, PW_KERNEL_ERROR_INDEX);
  }
}

static void
test_half_types (Fixture *fixture, gconstpointer backend G_GNUC_UNUSED) {
  static const struct {
    PwElement element;
    const char *word;
  } cases[] = {
    { .element = PW_ELEMENT_BF16,
      .word = "gelu_forward computes in float32 only, not in bfloat16" },
    { .element = PW_ELEMENT_F16, .word = "float16" },
  };
  guint16 x[4] = { 0 }, y[4] = { 0 };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    PwTensor x_tensor = vector (x, cases[i].element, 4);
    PwTensor y_tensor = vector (y, cases[i].element, 4);
    g_autoptr (GError) error = NULL;
    g_assert_false (fixture->ops->gelu_forward (&fixture->context, &x_tensor, &y_tensor, &error));
    g_assert_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED);
    g_assert_nonnull (strstr (error->message, cases[i].word));
  }
}

static void
test_first_layer (Fixture *fixture, gconstpointer backend G_GNUC_UNUSED) {
  enum { ROWS = 9, IN = 5, OUT = 19 };
  float dy[ROWS * OUT], w[OUT * IN], x[ROWS * IN], dx[ROWS * IN];
  float with[OUT] = { 0 }, without[OUT] = { 0 };
  draw (dy, ROWS * OUT);
  draw (w, OUT * IN);
  draw (x, ROWS * IN);
  PwTensor dy_tensor = matrix (dy, ROWS, OUT), w_tensor = matrix (w, OUT, IN);
  PwTensor dx_tensor = matrix (dx, ROWS, IN);
  PwTensor with_tensor = vector (with, PW_ELEMENT_F32, OUT);
  PwTensor without_tensor = vector (without, PW_ELEMENT_F32, OUT);
  PwWorkspace none = { 0 };
  g_assert_cmpuint (fixture->context.backend->workspace.linear (&fixture->context, ROWS, IN, OUT),
                    ==, 0);
  GError *error = NULL;
  g_assert_true (fixture->ops->linear_input_gradient (&fixture->context, &dy_tensor, &w_tensor,
                                                      &dx_tensor, &with_tensor, none, &error));
  g_assert_true (fixture->ops->linear_input_gradient (&fixture->context, &dy_tensor, &w_tensor,
                                                      NULL, &without_tensor, none, &error));
  g_assert_cmpint (memcmp (with, without, sizeof with), ==, 0);
}

static void
test_normalised_input (Fixture *fixture, gconstpointer backend G_GNUC_UNUSED) {
  enum { ROWS = 3, FEATURES = 21 };
  float x[ROWS * FEATURES], dy[ROWS * FEATURES], y[ROWS * FEATURES], gain[FEATURES];
  float bias[FEATURES], mean[ROWS], rstd[ROWS];
  float gain_with[FEATURES] = { 0 }, bias_with[FEATURES] = { 0 };
  float gain_without[FEATURES] = { 0 }, bias_without[FEATURES] = { 0 };
  draw (x, ROWS * FEATURES);
  draw (dy, ROWS * FEATURES);
  draw (gain, FEATURES);
  draw (bias, FEATURES);
  PwTensor tx = matrix (x, ROWS, FEATURES), tdy = matrix (dy, ROWS, FEATURES);
  PwTensor ty = matrix (y, ROWS, FEATURES);
  PwTensor tgain = vector (gain, PW_ELEMENT_F32, FEATURES);
  PwTensor tbias = vector (bias, PW_ELEMENT_F32, FEATURES);
  PwTensor tmean = vector (mean, PW_ELEMENT_F32, ROWS);
  PwTensor trstd = vector (rstd, PW_ELEMENT_F32, ROWS);
  PwTensor with[] = { vector (gain_with, PW_ELEMENT_F32, FEATURES),
                      vector (bias_with, PW_ELEMENT_F32, FEATURES) };
  PwTensor without[] = { vector (gain_without, PW_ELEMENT_F32, FEATURES),
                         vector (bias_without, PW_ELEMENT_F32, FEATURES) };
  GError *error = NULL;
  PwOpContext *context = &fixture->context;
  g_assert_true (fixture->ops->layernorm_forward (context, &tx, &tgain, &tbias, 1e-5, &ty, &tmean,
                                                  &trstd, &error));
  g_assert_true (fixture->ops->layernorm_input_gradient (context, &tx, &tgain, &tmean, &trstd, &tdy,
                                                         &ty, &with[0], &with[1],
                                                         (PwWorkspace){ 0 }, &error));
  g_assert_true (fixture->ops->layernorm_input_gradient (context, &tx, &tgain, &tmean, &trstd, &tdy,
                                                         NULL, &without[0], &without[1],
                                                         (PwWorkspace){ 0 }, &error));
  g_assert_cmpint (memcmp (gain_with, gain_without, sizeof gain_with), ==, 0);
  g_assert_cmpint (memcmp (bias_with, bias_without, sizeof bias_with), ==, 0);
}

static void
test_add_in_place (Fixture *fixture, gconstpointer backend G_GNUC_UNUSED) {
  float a[37], b[37], y[37];
  draw (a, 37);
  draw (b, 37);
  PwTensor ta = vector (a, PW_ELEMENT_F32, 37), tb = vector (b, PW_ELEMENT_F32, 37);
  PwTensor ty = vector (y, PW_ELEMENT_F32, 37);
  GError *error = NULL;
  g_assert_true (fixture->ops->add (&fixture->context, &ta, &tb, &ty, &error));
  float into_b[37];
  memcpy (into_b, b, sizeof b);
  PwTensor tinto_b = vector (into_b, PW_ELEMENT_F32, 37);
  g_assert_true (fixture->ops->add (&fixture->context, &ta, &tinto_b, &tinto_b, &error));
  g_assert_true (fixture->ops->add (&fixture->context, &ta, &tb, &ta, &error));
  g_assert_cmpint (memcmp (a, y, sizeof y), ==, 0);
  g_assert_cmpint (memcmp (into_b, y, sizeof y), ==, 0);
}

/* One head of one sequence, with what its two ops need beside q, k and v. */
typedef struct {
  PwTensor qkv, y, lse;
  PwWorkspace workspace;
} OneHead;

static void
one_head_init (OneHead *head, Fixture *fixture, int64_t tokens, int64_t width) {
  PwOpContext *context = &fixture->context;
  *head = (OneHead){ .qkv = { .n_dims = 3, .dims = { 1, tokens, 3 * width } },
                     .y = { .n_dims = 3, .dims = { 1, tokens, width } },
                     .lse = { .n_dims = 3, .dims = { 1, 1, tokens } } };
  head->workspace.bytes
      = context->backend->workspace.attention (context, PW_ELEMENT_F32, TRUE, 1, 1, tokens, width);
  head->workspace.data = g_malloc (head->workspace.bytes);
  head->qkv.data = g_new (float, (gsize)(tokens * 3 * width));
  head->y.data = g_new (float, (gsize)(tokens * width));
  head->lse.data = g_new (float, (gsize)tokens);
  draw (head->qkv.data, tokens * 3 * width);
}

static void
one_head_clear (OneHead *head) {
  g_free (head->workspace.data);
  g_free (head->qkv.data);
  g_free (head->y.data);
  g_free (head->lse.data);
}

/* Where only tokens before CHANGED have a gradient, no later token gets one. */
static void
test_mask (Fixture *fixture, gconstpointer backend G_GNUC_UNUSED) {
  enum { TOKENS = 140, WIDTH = 4 };
  g_autofree float *dy = g_new0 (float, TOKENS *WIDTH);
  g_autofree float *dqkv = g_new (float, TOKENS * 3 * WIDTH);
  int changed = g_test_rand_int_range (1, TOKENS);
  draw (dy, changed * WIDTH);
  OneHead head;
  one_head_init (&head, fixture, TOKENS, WIDTH);
  PwTensor tdy = head.y, tdqkv = head.qkv;
  tdy.data = dy;
  tdqkv.data = dqkv;
  GError *error = NULL;
  g_assert_true (fixture->ops->attention_forward (&fixture->context, &head.qkv, 1, TRUE, NULL,
                                                  &head.y, &head.lse, head.workspace, &error));
  g_assert_true (fixture->ops->attention_input_gradient (&fixture->context, &head.qkv, 1, TRUE,
                                                         NULL, &head.y, &head.lse, &tdy, &tdqkv,
                                                         head.workspace, &error));
  for (int i = 0; i < TOKENS * 3 * WIDTH; i++)
    if (i >= changed * 3 * WIDTH)
      g_assert_cmpfloat (dqkv[i], ==, 0);
  one_head_clear (&head);
}

/* A later token, however large, must not reach an earlier one. */
static void
test_causality (Fixture *fixture, gconstpointer backend G_GNUC_UNUSED) {
  enum { TOKENS = 80, WIDTH = 8 };
  g_autofree float *after = g_new (float, TOKENS *WIDTH);
  OneHead head;
  one_head_init (&head, fixture, TOKENS, WIDTH);
  PwTensor ty = head.y;
  ty.data = after;
  GError *error = NULL;
  int changed = g_test_rand_int_range (1, TOKENS);
  g_assert_true (fixture->ops->attention_forward (&fixture->context, &head.qkv, 1, TRUE, NULL,
                                                  &head.y, &head.lse, head.workspace, &error));
  for (int i = changed * 3 * WIDTH; i < TOKENS * 3 * WIDTH; i++)
    ((float *)head.qkv.data)[i] = 1e4f;
  g_assert_true (fixture->ops->attention_forward (&fixture->context, &head.qkv, 1, TRUE, NULL, &ty,
                                                  &head.lse, head.workspace, &error));
  gsize same = sizeof (float) * (gsize)changed * WIDTH;
  g_assert_cmpint (memcmp (head.y.data, after, same), ==, 0);
  one_head_clear (&head);
}

/* The logits are read for the last time by their own gradient. */
static void
test_logits_in_place (Fixture *fixture, gconstpointer backend G_GNUC_UNUSED) {
  enum { ROWS = 5, CLASSES = 37 };
  float x[ROWS * CLASSES], dx[ROWS * CLASSES], lse[ROWS];
  int32_t target[ROWS] = { 36, -1, 0, 17, 5 };
  draw (x, ROWS * CLASSES);
  PwTensor tx = matrix (x, ROWS, CLASSES), tdx = matrix (dx, ROWS, CLASSES);
  PwTensor tlse = vector (lse, PW_ELEMENT_F32, ROWS);
  PwTensor targets = vector (target, PW_ELEMENT_I32, ROWS);
  PwOpContext *context = &fixture->context;
  double loss = 0;
  GError *error = NULL;
  g_assert_true (
      fixture->ops->cross_entropy_forward (context, &tx, &targets, 1, &tlse, &loss, &error));
  g_assert_true (fixture->ops->cross_entropy_input_gradient (context, &tx, &tlse, &targets, 0.5,
                                                             &tdx, &error));
  g_assert_true (
      fixture->ops->cross_entropy_input_gradient (context, &tx, &tlse, &targets, 0.5, &tx, &error));
  g_assert_cmpint (memcmp (x, dx, sizeof x), ==, 0);
}

/* A diverging run must show it: no op may turn a NaN into a number. */
static void
test_nan (Fixture *fixture, gconstpointer backend G_GNUC_UNUSED) {
  enum { N = 35 };
  float x[N] = { 0 }, y[N];
  int at = g_test_rand_int_range (0, N);
  x[at] = NAN;
  PwTensor tx = matrix (x, 1, N), ty = matrix (y, 1, N);
  PwOpContext *context = &fixture->context;
  GError *error = NULL;
  g_assert_true (fixture->ops->relu_forward (context, &tx, &ty, &error));
  g_assert_true (isnan (y[at]));
  g_assert_true (fixture->ops->gelu_forward (context, &tx, &ty, &error));
  g_assert_true (isnan (y[at]));
  int32_t target = 0;
  float lse;
  PwTensor targets = vector (&target, PW_ELEMENT_I32, 1);
  PwTensor tlse = vector (&lse, PW_ELEMENT_F32, 1);
  double loss = 0, sum = 0;
  g_assert_true (
      fixture->ops->cross_entropy_forward (context, &tx, &targets, 1, &tlse, &loss, &error));
  g_assert_true (isnan (loss));
  g_assert_true (fixture->ops->square_sum (context, &tx, &sum, (PwWorkspace){ 0 }, &error));
  g_assert_true (isnan (sum));
}

static void
test_extremes (Fixture *fixture, gconstpointer backend G_GNUC_UNUSED) {
  float x[] = { -1e30f, -100, -20, 0, 20, 100, 1e30f }, y[7], dy[7], dx[7];
  for (int i = 0; i < 7; i++)
    dy[i] = 1;
  PwTensor tx = matrix (x, 1, 7), ty = matrix (y, 1, 7);
  PwTensor tdy = matrix (dy, 1, 7), tdx = matrix (dx, 1, 7);
  GError *error = NULL;
  g_assert_true (fixture->ops->gelu_forward (&fixture->context, &tx, &ty, &error));
  g_assert_true (fixture->ops->gelu_input_gradient (&fixture->context, &tx, &tdy, &tdx, &error));
  for (int i = 0; i < 6; i++) {
    double slope = x[i] > 0 ? 1 : x[i] < 0 ? 0 : 0.5;
    g_assert_cmpfloat_with_epsilon ((double)y[i], fmax ((double)x[i], 0), 1e-5);
    g_assert_cmpfloat_with_epsilon ((double)dx[i], slope, 1e-5);
  }
  g_assert_cmpfloat (y[6], ==, x[6]);
  int32_t target = 6;
  float lse;
  PwTensor targets = vector (&target, PW_ELEMENT_I32, 1);
  PwTensor tlse = vector (&lse, PW_ELEMENT_F32, 1);
  double loss = 0;
  g_assert_true (fixture->ops->cross_entropy_forward (&fixture->context, &tx, &targets, 1, &tlse,
                                                      &loss, &error));
  g_assert_cmpfloat_with_epsilon (loss, 0, 1e-6);
}

static void
test_empty (Fixture *fixture, gconstpointer argument) {
  const PwBackend *backend = argument;
  PwOpContext *context = &fixture->context;
  float x[6] = { 1, 2, 3, 4, 5, 6 }, y[6] = { 7, 7, 7, 7, 7, 7 };
  PwTensor tx = matrix (x, 2, 3), ty = matrix (y, 2, 3);
  int32_t beyond[2] = { 99, 99 };
  PwTensor targets = vector (beyond, PW_ELEMENT_I32, 2);
  double loss = 0.5;
  GError *error = NULL;
  g_assert_true (fixture->ops->add (context, &tx, &tx, &ty, &error));
  g_assert_true (
      fixture->ops->cross_entropy_forward (context, &tx, &targets, 1, &ty, &loss, &error));
  g_assert_cmpfloat (loss, ==, 0.5);
  for (int i = 0; i < 6; i++)
    g_assert_cmpfloat (y[i], ==, 7);
  g_assert_cmpuint (backend->workspace.linear (context, 512, 1024, 1024), ==, 0);
  g_assert_cmpuint (backend->workspace.attention (context, PW_ELEMENT_F32, TRUE, 4, 4, 128, 256),
                    ==, 0);
  g_assert_cmpuint (backend->workspace.layernorm (context, 512, 256), ==, 0);
  g_assert_cmpuint (backend->workspace.embedding (context, 512, 256, 256), ==, 0);
}

/* The tables are read as arrays of pointers: every member is one. */
static void
test_complete (gconstpointer argument) {
  const PwBackend *backend = argument;
  gpointer ops[sizeof (PwOps) / sizeof (gpointer)];
  gpointer workspaces[sizeof (PwWorkspaces) / sizeof (gpointer)];
  memcpy (ops, &backend->ops, sizeof ops);
  memcpy (workspaces, &backend->workspace, sizeof workspaces);
  for (gsize i = 0; i < G_N_ELEMENTS (ops); i++)
    g_assert_nonnull (ops[i]);
  for (gsize i = 0; i < G_N_ELEMENTS (workspaces); i++)
    g_assert_nonnull (workspaces[i]);
}

/* Also how many: a quarter of a million draws are off by 1 in 10,000 once in ages. */
static void
test_dropout (Fixture *fixture, gconstpointer backend G_GNUC_UNUSED) {
  enum { SAMPLES = 4, ELEMENTS = 1 << 16 };
  const double probability = 0.3;
  g_autofree float *x = g_new (float, SAMPLES *ELEMENTS);
  g_autofree float *whole = g_new (float, SAMPLES *ELEMENTS);
  g_autofree float *parts = g_new (float, SAMPLES *ELEMENTS);
  for (int i = 0; i < SAMPLES * ELEMENTS; i++)
    x[i] = 1;
  PwOpContext *context = &fixture->context;
  context->seed = (uint64_t)g_test_rand_int ();
  PwTensor tx = matrix (x, SAMPLES, ELEMENTS), ty = matrix (whole, SAMPLES, ELEMENTS);
  GError *error = NULL;
  g_assert_true (fixture->ops->dropout_forward (context, &tx, probability, 0, &ty, &error));
  int kept = 0;
  for (int i = 0; i < SAMPLES * ELEMENTS; i++)
    kept += whole[i] != 0;
  g_assert_cmpfloat_with_epsilon ((double)kept / (SAMPLES * ELEMENTS), 1 - probability, 0.01);
  context->rank = 3;
  for (int sample = 0; sample < SAMPLES; sample++) {
    context->microbatch = sample;
    PwTensor one = matrix (x + sample * ELEMENTS, 1, ELEMENTS);
    PwTensor part = matrix (parts + sample * ELEMENTS, 1, ELEMENTS);
    g_assert_true (
        fixture->ops->dropout_forward (context, &one, probability, sample, &part, &error));
  }
  g_assert_cmpint (memcmp (whole, parts, sizeof *whole * SAMPLES * ELEMENTS), ==, 0);
  context->step++;
  g_assert_true (fixture->ops->dropout_forward (context, &tx, probability, 0, &ty, &error));
  g_assert_cmpint (memcmp (whole, parts, sizeof *whole * SAMPLES * ELEMENTS), !=, 0);
}

static void
test_overflow (Fixture *fixture, gconstpointer backend G_GNUC_UNUSED) {
  static const float bad[] = { NAN, -NAN, INFINITY, -INFINITY };
  enum { N = 37 };
  float x[N];
  draw (x, N);
  x[3] = 3e38f;
  PwTensor tx = matrix (x, 1, N);
  int32_t overflow = 0;
  GError *error = NULL;
  g_assert_true (fixture->ops->overflow_check (&fixture->context, &tx, &overflow, &error));
  g_assert_cmpint (overflow, ==, 0);
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    int at = g_test_rand_int_range (0, N);
    float good = x[at];
    x[at] = bad[i];
    overflow = 0;
    g_assert_true (fixture->ops->overflow_check (&fixture->context, &tx, &overflow, &error));
    g_assert_cmpint (overflow, ==, 1);
    x[at] = good;
    g_assert_true (fixture->ops->overflow_check (&fixture->context, &tx, &overflow, &error));
    g_assert_cmpint (overflow, ==, 1);
  }
}

static void
test_master (Fixture *fixture, gconstpointer backend G_GNUC_UNUSED) {
  float w[3] = { 0 };
  PwTensor tw = matrix (w, 1, 3);
  PwOptimizerStep step = { .step = 1 };
  g_autoptr (GError) sgd = NULL, adam = NULL;
  g_assert_false (fixture->ops->sgd (&fixture->context, &tw, &tw, &tw, NULL, &step, &sgd));
  g_assert_error (sgd, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED);
  g_assert_false (fixture->ops->adamw (&fixture->context, &tw, &tw, &tw, &tw, &tw, &step, &adam));
  g_assert_error (adam, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED);
}

/* Its table is looked at, its devices are not. */
static void
test_module (void) {
#ifdef PW_CUDA_MODULE_FILE
  pw_cuda_module_set_file (PW_CUDA_MODULE_FILE);
  g_autoptr (GError) error = NULL;
  const PwBackend *backend = pw_backend_get ("cuda", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (backend->name, ==, "cuda");
  g_assert_true (pw_backend_get ("cuda", &error) == backend);
  test_complete (backend);
  g_assert_null (pw_cuda_module_symbol ("pw_backend_abacus", &error));
  g_assert_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED);
#else
  g_test_skip ("this build has no CUDA module");
#endif
}

typedef void (*FixtureTest) (Fixture *, gconstpointer);

static void
add (const PwBackend *backend, const char *sentence, FixtureTest test) {
  g_autofree char *path = g_strdup_printf ("/kernels/%s/%s", backend->name, sentence);
  g_test_add (path, Fixture, backend, set_up, test, tear_down);
}

static void
add_device_tests (const PwBackend *backend) {
  g_autofree char *complete = g_strdup_printf ("/kernels/%s/has-every-op", backend->name);
  g_test_add_data_func (complete, backend, test_complete);
  add (backend, "memory-is-aligned-and-keeps-what-is-copied", test_memory);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  add (backend, "too-much-memory-is-an-error", test_out_of_memory);
#endif
  add (backend, "timestamps-never-run-backwards", test_events);
}

int
main (int argc, char **argv) {
  const PwBackend *cpu = &pw_backend_cpu;
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/kernels/tensors/sizes-are-products-of-dimensions", test_tensors);
  g_test_add_func ("/kernels/backends/are-found-by-name", test_names);
  g_test_add_func ("/kernels/backends/the-cuda-module-has-every-op", test_module);
  add_device_tests (cpu);
  add_device_tests (&pw_backend_empty);
  add (&pw_backend_empty, "ops-touch-nothing", test_empty);
  add (cpu, "tokens-outside-the-table-are-named", test_token_errors);
  add (cpu, "targets-outside-the-classes-are-named", test_target_errors);
  add (cpu, "half-types-are-refused", test_half_types);
  add (cpu, "bias-gradient-needs-no-input-gradient", test_first_layer);
  add (cpu, "layernorm-parameters-need-no-input-gradient", test_normalised_input);
  add (cpu, "add-works-in-place", test_add_in_place);
  add (cpu, "masked-tokens-get-no-gradient", test_mask);
  add (cpu, "logits-gradient-may-be-in-place", test_logits_in_place);
  add (cpu, "later-tokens-never-reach-earlier-ones", test_causality);
  add (cpu, "nan-is-never-hidden", test_nan);
  add (cpu, "large-values-neither-overflow-nor-vanish", test_extremes);
  add (cpu, "dropout-is-the-same-however-a-mini-batch-is-cut", test_dropout);
  add (cpu, "overflow-is-seen-and-kept", test_overflow);
  add (cpu, "master-copies-are-refused", test_master);
  return g_test_run ();
}
