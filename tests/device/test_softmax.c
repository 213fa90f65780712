/* What attention and cross-entropy promise on a device beside their values, their kernels run by
 * the host. */
#include "kernels/kernels.h"
#include "tests/device/fake/fake.h"
#include "tests/kernels/op_buffer.h"
#include "tests/support/reference_ops.h"
#include <math.h>
#include <string.h>

extern const PwBackend pw_backend_cuda;

typedef struct {
  PwOpContext context;
  const PwOps *ops;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
  GError *error = NULL;
  pw_fake_set_seed ((uint64_t)g_test_rand_int ());
  *fixture = (Fixture){ .context = { .backend = &pw_backend_cuda, .rank = 1, .layer = 5 },
                        .ops = &pw_backend_cuda.ops };
  fixture->context.stream = pw_backend_cuda.stream_new (0, &error);
  g_assert_no_error (error);
}

static void
tear_down (Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
  pw_backend_cuda.stream_free (fixture->context.stream);
}

/* A tensor on the device; VALUES NULL: undefined. */
static PwTensor
tensor (Fixture *fixture, OpBuffer *buffer, PwElement element, int64_t rows, int64_t columns,
        const void *values) {
  PwTensor result = { .element = element, .n_dims = 3, .dims = { 1, rows, columns } };
  op_buffer_init (buffer, &fixture->context, (gsize)pw_tensor_bytes (&result), 0);
  if (values != NULL)
    op_buffer_write (buffer, values);
  result.data = op_buffer_data (buffer);
  return result;
}

static void
draw (float *values, int n) {
  for (int i = 0; i < n; i++)
    values[i] = (float)g_test_rand_double_range (-2, 2);
}

static void
clear (OpBuffer *buffers, int n) {
  for (int i = 0; i < n; i++)
    op_buffer_clear (&buffers[i]);
}

/* ---- Cross-entropy ---- */

enum { X, TARGETS, LSE, LOSS, DX, N_LOSS_BUFFERS };

typedef struct {
  OpBuffer buffers[N_LOSS_BUFFERS];
  PwTensor x, targets, lse, loss, dx;
} Loss;

static void
loss_init (Loss *loss, Fixture *fixture, int rows, int classes, const float *x,
           const int32_t *targets) {
  OpBuffer *b = loss->buffers;
  const double begun = 0;
  loss->x = tensor (fixture, &b[X], PW_ELEMENT_F32, rows, classes, x);
  loss->targets = tensor (fixture, &b[TARGETS], PW_ELEMENT_I32, 1, rows, targets);
  loss->lse = tensor (fixture, &b[LSE], PW_ELEMENT_F32, 1, rows, NULL);
  loss->loss = tensor (fixture, &b[LOSS], PW_ELEMENT_F32, 1, 2, &begun); /* a double's bytes */
  loss->dx = tensor (fixture, &b[DX], PW_ELEMENT_F32, rows, classes, NULL);
}

static double
loss_forward (Loss *loss, Fixture *fixture) {
  GError *error = NULL;
  double value;
  fixture->ops->cross_entropy_forward (&fixture->context, &loss->x, &loss->targets, 1, &loss->lse,
                                       loss->loss.data, &error);
  g_assert_no_error (error);
  op_buffer_read (&loss->buffers[LOSS], &value);
  return value;
}

static void
loss_gradient (Loss *loss, Fixture *fixture, PwTensor *dx) {
  GError *error = NULL;
  fixture->ops->cross_entropy_input_gradient (&fixture->context, &loss->x, &loss->lse,
                                              &loss->targets, 0.5, dx, &error);
  g_assert_no_error (error);
}

static void
assert_index_error (Fixture *fixture) {
  g_autoptr (GError) error = NULL;
  g_assert_false (pw_backend_cuda.stream_synchronize (fixture->context.stream, &error));
  g_assert_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_INDEX);
  g_assert_nonnull (strstr (error->message, "target"));
}

/* It cannot fail where it is called: the row is left out, and synchronising fails. */
static void
test_wrong_targets (Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
  static const int32_t wrong[] = { -2, 3, G_MAXINT32, G_MININT32 };
  const float x[3 * 3] = { 0 };
  for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++) {
    const int32_t targets[3] = { 2, wrong[i], -1 };
    GError *error = NULL;
    double value;
    float dx[3 * 3];
    Loss loss;
    loss_init (&loss, fixture, 3, 3, x, targets);
    fixture->ops->cross_entropy_forward (&fixture->context, &loss.x, &loss.targets, 1, &loss.lse,
                                         loss.loss.data, &error);
    g_assert_no_error (error);
    assert_index_error (fixture);
    loss_gradient (&loss, fixture, &loss.dx);
    assert_index_error (fixture);
    op_buffer_read (&loss.buffers[LOSS], &value);
    op_buffer_read (&loss.buffers[DX], dx);
    g_assert_cmpfloat_with_epsilon (value, log (3), 1e-6);
    for (int c = 0; c < 3; c++) {
      g_assert_cmpfloat_with_epsilon ((double)dx[c], 0.5 * (1 / 3.0 - (c == 2)), 1e-6);
      g_assert_cmpfloat (dx[3 + c], ==, 0);
      g_assert_cmpfloat (dx[6 + c], ==, 0);
    }
    clear (loss.buffers, N_LOSS_BUFFERS);
  }
}

static void
test_in_place (Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
  enum { ROWS = 4, CLASSES = 1100 };
  float x[ROWS * CLASSES], apart[ROWS * CLASSES], in_place[ROWS * CLASSES];
  const int32_t targets[ROWS] = { CLASSES - 1, -1, 0, 517 };
  draw (x, ROWS * CLASSES);
  Loss loss;
  loss_init (&loss, fixture, ROWS, CLASSES, x, targets);
  loss_forward (&loss, fixture);
  loss_gradient (&loss, fixture, &loss.dx);
  loss_gradient (&loss, fixture, &loss.x);
  op_buffer_read (&loss.buffers[DX], apart);
  op_buffer_read (&loss.buffers[X], in_place);
  g_assert_cmpint (memcmp (apart, in_place, sizeof apart), ==, 0);
  clear (loss.buffers, N_LOSS_BUFFERS);
}

static void
test_vocabulary (Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
  enum { ROWS = 2, CLASSES = 100003 };
  g_autofree float *x = g_new (float, ROWS *CLASSES);
  g_autofree double *wide = g_new (double, ROWS *CLASSES);
  const int32_t targets[ROWS] = { CLASSES - 1, 17 };
  const double wide_targets[ROWS] = { CLASSES - 1, 17 };
  double want_lse[ROWS], want = 0;
  float lse[ROWS];
  draw (x, ROWS * CLASSES);
  for (int i = 0; i < ROWS * CLASSES; i++)
    wide[i] = (double)x[i];
  pw_reference_cross_entropy (wide, wide_targets, 1, want_lse, &want, ROWS, CLASSES);
  Loss loss;
  loss_init (&loss, fixture, ROWS, CLASSES, x, targets);
  g_assert_cmpfloat_with_epsilon (loss_forward (&loss, fixture), want, 1e-5);
  op_buffer_read (&loss.buffers[LSE], lse);
  for (int row = 0; row < ROWS; row++)
    g_assert_cmpfloat_with_epsilon ((double)lse[row], want_lse[row], 1e-5);
  clear (loss.buffers, N_LOSS_BUFFERS);
}

/* A diverging run must show it, and large logits are no reason to diverge. */
static void
test_extreme_logits (Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
  float x[7] = { -1e30f, -100, -INFINITY, 0, 20, 100, 1e30f };
  const int32_t target = 6;
  Loss loss;
  loss_init (&loss, fixture, 1, 7, x, &target);
  g_assert_cmpfloat_with_epsilon (loss_forward (&loss, fixture), 0, 1e-6);
  x[g_test_rand_int_range (0, 7)] = NAN;
  op_buffer_write (&loss.buffers[X], x);
  g_assert_true (isnan (loss_forward (&loss, fixture)));
  clear (loss.buffers, N_LOSS_BUFFERS);
}

/* ---- Attention, one head of one sequence ---- */

enum { QKV, Y, ROW_LSE, DY, DQKV, WORKSPACE, N_HEAD_BUFFERS };

typedef struct {
  OpBuffer buffers[N_HEAD_BUFFERS];
  PwTensor qkv, y, lse, dy, dqkv;
  PwWorkspace workspace;
} Head;

static void
head_init (Head *head, Fixture *fixture, int tokens, int width, const float *qkv, const float *dy) {
  PwOpContext *context = &fixture->context;
  OpBuffer *b = head->buffers;
  head->qkv = tensor (fixture, &b[QKV], PW_ELEMENT_F32, tokens, 3 * width, qkv);
  head->y = tensor (fixture, &b[Y], PW_ELEMENT_F32, tokens, width, NULL);
  head->lse = tensor (fixture, &b[ROW_LSE], PW_ELEMENT_F32, 1, tokens, NULL);
  head->dy = tensor (fixture, &b[DY], PW_ELEMENT_F32, tokens, width, dy);
  head->dqkv = tensor (fixture, &b[DQKV], PW_ELEMENT_F32, tokens, 3 * width, NULL);
  op_buffer_init (
      &b[WORKSPACE], context,
      pw_backend_cuda.workspace.attention (context, PW_ELEMENT_F32, TRUE, 1, 1, tokens, width), 0);
  head->workspace = (PwWorkspace){ op_buffer_data (&b[WORKSPACE]), b[WORKSPACE].bytes };
}

static void
head_forward (Head *head, Fixture *fixture, float *y) {
  GError *error = NULL;
  fixture->ops->attention_forward (&fixture->context, &head->qkv, 1, TRUE, NULL, &head->y,
                                   &head->lse, head->workspace, &error);
  g_assert_no_error (error);
  op_buffer_read (&head->buffers[Y], y);
}

enum { TOKENS = 140, WIDTH = 4 };

/* Where only tokens before CHANGED have a gradient, no later token gets one. */
static void
test_mask (Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
  float qkv[TOKENS * 3 * WIDTH], y[TOKENS * WIDTH], dy[TOKENS * WIDTH] = { 0 };
  float dqkv[TOKENS * 3 * WIDTH];
  int changed = g_test_rand_int_range (1, TOKENS);
  GError *error = NULL;
  Head head;
  draw (qkv, TOKENS * 3 * WIDTH);
  draw (dy, changed * WIDTH);
  head_init (&head, fixture, TOKENS, WIDTH, qkv, dy);
  head_forward (&head, fixture, y);
  fixture->ops->attention_input_gradient (&fixture->context, &head.qkv, 1, TRUE, NULL, &head.y,
                                          &head.lse, &head.dy, &head.dqkv, head.workspace, &error);
  g_assert_no_error (error);
  op_buffer_read (&head.buffers[DQKV], dqkv);
  for (int i = changed * 3 * WIDTH; i < TOKENS * 3 * WIDTH; i++)
    g_assert_cmpfloat (dqkv[i], ==, 0);
  clear (head.buffers, N_HEAD_BUFFERS);
}

/* A later token, however large, must not reach an earlier one. */
static void
test_causality (Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
  float qkv[TOKENS * 3 * WIDTH], before[TOKENS * WIDTH], after[TOKENS * WIDTH];
  int changed = g_test_rand_int_range (1, TOKENS);
  Head head;
  draw (qkv, TOKENS * 3 * WIDTH);
  head_init (&head, fixture, TOKENS, WIDTH, qkv, NULL);
  head_forward (&head, fixture, before);
  for (int i = changed * 3 * WIDTH; i < TOKENS * 3 * WIDTH; i++)
    qkv[i] = 1e4f;
  op_buffer_write (&head.buffers[QKV], qkv);
  head_forward (&head, fixture, after);
  g_assert_cmpint (memcmp (before, after, sizeof (float) * (gsize)(changed * WIDTH)), ==, 0);
  clear (head.buffers, N_HEAD_BUFFERS);
}

/* Scores far beyond what exp takes: each token sees itself alone. */
static void
test_large_scores (Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
  enum { FEW = 70, WIDE = 70 };
  g_autofree float *qkv = g_new0 (float, FEW * 3 * WIDE);
  g_autofree float *y = g_new (float, FEW *WIDE);
  for (int t = 0; t < FEW; t++) {
    qkv[t * 3 * WIDE + t] = qkv[t * 3 * WIDE + WIDE + t] = 1e3f;
    draw (qkv + t * 3 * WIDE + 2 * WIDE, WIDE);
  }
  Head head;
  head_init (&head, fixture, FEW, WIDE, qkv, NULL);
  head_forward (&head, fixture, y);
  for (int t = 0; t < FEW; t++)
    g_assert_cmpint (memcmp (y + t * WIDE, qkv + t * 3 * WIDE + 2 * WIDE, WIDE * sizeof *y), ==, 0);
  clear (head.buffers, N_HEAD_BUFFERS);
}

static void
test_wide_heads (Fixture *fixture, gconstpointer data G_GNUC_UNUSED) {
  g_autoptr (GError) error = NULL;
  Head head;
  head_init (&head, fixture, 2, 257, NULL, NULL);
  g_assert_false (fixture->ops->attention_forward (&fixture->context, &head.qkv, 1, TRUE, NULL,
                                                   &head.y, &head.lse, head.workspace, &error));
  g_assert_error (error, PW_KERNEL_ERROR, PW_KERNEL_ERROR_UNSUPPORTED);
  g_assert_cmpstr (error->message, ==,
                   "rank 1, layer 5: attention_forward: heads are 257 wide, at most 256 is done");
  g_assert_true (pw_backend_cuda.stream_synchronize (fixture->context.stream, NULL));
  clear (head.buffers, N_HEAD_BUFFERS);
}

static void
add (const char *path, void (*test) (Fixture *, gconstpointer)) {
  g_test_add (path, Fixture, NULL, set_up, test, tear_down);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  add ("/device/cross-entropy/wrong-targets-show-when-synchronised", test_wrong_targets);
  add ("/device/cross-entropy/gradient-may-be-in-place", test_in_place);
  add ("/device/cross-entropy/a-hundred-thousand-classes", test_vocabulary);
  add ("/device/cross-entropy/nan-and-large-logits-are-kept", test_extreme_logits);
  add ("/device/attention/masked-tokens-get-no-gradient", test_mask);
  add ("/device/attention/later-tokens-reach-no-earlier-one", test_causality);
  add ("/device/attention/large-scores-do-not-overflow", test_large_scores);
  add ("/device/attention/heads-too-wide-are-refused", test_wide_heads);
  return g_test_run ();
}
