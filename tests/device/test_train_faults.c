/* What goes wrong while the executor trains on devices ends with one sentence that says where, and
 * nothing hangs or is leaked: memory that runs out, launches that are refused, a device that
 * breaks, one that stands, orders that a policy cannot carry out. Then what only the host can do.
 */
#include <cuda_runtime_api.h>
#include <glib/gstdio.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "kernels/cuda/handles.h"
#include "tests/device/fake/fake.h"
#include "tests/exec/exec_case.h"

#define MEMBERS(model)                                                                             \
  "'model': " model ", 'ranks': 2, 'schedule': {'name': '1f1b', 'microbatches': 3}, 'batch': 5, "  \
  "'seed': 7, 'optimizer': {'name': 'adamw', 'learning_rate': 0.003}, 'data': 'random'"
#define MLP "{'name': 'mlp', 'input': 5, 'width': 8, 'depth': 3, 'output': 3}"

extern const PwBackend pw_backend_cuda;

static gboolean
train (ExecCase *c, const PwExecOptions *options, int steps, GError **error) {
  g_autoptr (PwExec) exec = pw_exec_new (c->resolved, options, error);
  int program = exec ? pw_exec_add (exec, c->resolved->lowered, error) : -1;
  for (int s = 0; program >= 0 && s < steps; s++) {
    PwExecBatch batch = exec_case_batch (c, s);
    if (!pw_exec_run (exec, program, &batch, NULL, error))
      return FALSE;
  }
  return program >= 0;
}

static void
assert_says (const GError *error, const char *what) {
  g_assert_nonnull (error);
  if (!strstr (error->message, what))
    g_error ("%s: should say %s", error->message, what);
  g_assert_null (strchr (error->message, '\n'));
}

/* ---- Memory ---- */

static void
memory_runs_out (void) {
  g_autoptr (ExecCase) c = exec_case_new (
      MEMBERS ("{'name': 'mlp', 'input': 5, 'width': 700, 'depth': 5, 'output': 3}"), NULL);
  int64_t predicted[2][PW_MEMORY_N];
  for (int i = 0; i < 2 * PW_MEMORY_N; i++)
    predicted[i / PW_MEMORY_N][i % PW_MEMORY_N] = 77;
  PwExecOptions options = { .backend = &pw_backend_cuda,
                            .timeout_s = 60,
                            .predicted_bytes = (const int64_t (*)[PW_MEMORY_N])predicted };
  g_autoptr (GError) error = NULL;
  pw_fake_set_memory ((size_t)12 << 20);
  g_assert_false (train (c, &options, 1, &error));
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_MEMORY);
  assert_says (error, "out of memory");
  assert_says (error, "rank ");
  assert_says (error, "bytes for ");
  g_autofree char *prediction = g_strdup_printf (
      "at its peak the plan predicted 77 for it and %d for the rank", 77 * PW_MEMORY_N);
  assert_says (error, prediction);
  pw_fake_set_memory ((size_t)8 << 30);
  g_assert_cmpint (pw_fake_live_allocations (), ==, 0);
}

static void
ranks_need_devices (void) {
  g_autoptr (ExecCase) c = exec_case_new (MEMBERS (MLP), NULL);
  g_autoptr (GError) error = NULL;
  PwExecOptions options = { .backend = &pw_backend_cuda, .timeout_s = 60 };
  pw_fake_set_devices (1);
  g_assert_false (train (c, &options, 1, &error));
  assert_says (error, "2 ranks");
  assert_says (error, "--share-devices");
  g_clear_error (&error);
  options.share_devices = TRUE;
  g_assert_true (train (c, &options, 1, &error));
  pw_fake_set_devices (2);
}

/* ---- Calls that fail ---- */

static void
launches_fail (void) {
  g_autoptr (ExecCase) c = exec_case_new (MEMBERS (MLP), NULL);
  PwExecOptions options = { .backend = &pw_backend_cuda, .timeout_s = 60 };
  int failures = 0;
  for (long n = 1;; n += 7, failures++) {
    g_autoptr (GError) error = NULL;
    pw_fake_fail_launch (n, cudaErrorLaunchOutOfResources);
    if (train (c, &options, 1, &error))
      break;
    g_assert_true (error->domain == PW_EXEC_ERROR);
    assert_says (error, "rank ");
  }
  pw_fake_fail_launch (0, 0);
  g_assert_cmpint (failures, >, 5);
  g_assert_cmpint (pw_fake_live_allocations () + pw_fake_live_streams () + pw_fake_live_events (),
                   ==, 0);
}

static void
devices_break (void) {
  g_autoptr (ExecCase) c = exec_case_new (MEMBERS (MLP), NULL);
  PwExecOptions options = { .backend = &pw_backend_cuda, .timeout_s = 60 };
  int failures = 0;
  for (long n = 1;; n += 23, failures++) {
    g_autoptr (GError) error = NULL;
    pw_fake_break_operation (n, cudaErrorIllegalAddress);
    gboolean good = train (c, &options, 1, &error);
    pw_fake_repair ();
    if (good)
      break;
    assert_says (error, "rank ");
  }
  pw_fake_break_operation (0, 0);
  g_assert_cmpint (failures, >, 5);
}

/* ---- A device that stands ---- */

static atomic_int stands, n_products;

static void
stand (void *data) {
  (void)data;
  while (atomic_load (&stands))
    g_usleep (1000);
}

static gboolean
standing_forward (PwOpContext *context, const PwTensor *x, const PwTensor *w, const PwTensor *bias,
                  PwTensor *y, PwWorkspace workspace, GError **error) {
  if (context->rank == 1 && atomic_fetch_add (&n_products, 1) == 2)
    cudaLaunchHostFunc (pw_cuda_stream_handle (context->stream), stand, NULL);
  return pw_backend_cuda.ops.linear_forward (context, x, w, bias, y, workspace, error);
}

static void
a_device_stands (void) {
  g_autoptr (ExecCase) c = exec_case_new (MEMBERS (MLP), NULL);
  g_autoptr (GError) error = NULL;
  PwBackend standing = pw_backend_cuda;
  standing.ops.linear_forward = standing_forward;
  PwExecOptions options = { .backend = &standing, .timeout_s = 0.3 };
  atomic_store (&stands, 1);
  atomic_store (&n_products, 0);
  g_autoptr (PwExec) exec = pw_exec_new (c->resolved, &options, &error);
  int program = pw_exec_add (exec, c->resolved->lowered, &error);
  g_assert_no_error (error);
  PwExecBatch batch = exec_case_batch (c, 0);
  g_assert_false (pw_exec_run (exec, program, &batch, NULL, &error));
  atomic_store (&stands, 0);
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_TIMEOUT);
  assert_says (error, "its device has not come to the end of it within 0.3 s");
}

/* ---- Orders ---- */

/* Both ranks send before they receive. */
static const char both_send[] = "0F0,0SEND_F0,0F1,0SEND_F1,0RECV_B0,0B0,0RECV_B1,0B1\n"
                                "1RECV_F0,1F0,1B0,1SEND_B0,1RECV_F1,1F1,1B1,1SEND_B1\n";

static ExecCase *
case_of_csv (const char *csv) {
  g_autoptr (GError) error = NULL;
  g_autofree char *folder = g_dir_make_tmp ("pw-device-XXXXXX", &error);
  g_autofree char *path = g_build_filename (folder, "list.csv", NULL);
  g_file_set_contents (path, csv, -1, &error);
  g_assert_no_error (error);
  g_autofree char *members
      = g_strdup_printf ("'model': " MLP ", 'ranks': 2, 'schedule': {'csv': '%s'}, 'batch': 4, "
                         "'seed': 7, 'optimizer': {'name': 'sgd'}, 'data': 'random'",
                         path);
  ExecCase *c = exec_case_new (members, NULL);
  g_unlink (path);
  g_rmdir (folder);
  return c;
}

static void
orders_need_queues (void) {
  PwExecOptions options = { .backend = &pw_backend_cuda, .timeout_s = 60 };
  static const PwPolicy hang[] = { PW_POLICY_SHARED_STREAM, PW_POLICY_PER_PEER };
  static const PwPolicy run[] = { PW_POLICY_PER_EDGE, PW_POLICY_BUFFERED };
  g_autoptr (ExecCase) c = case_of_csv (both_send);
  for (gsize i = 0; i < G_N_ELEMENTS (run); i++) {
    g_autoptr (GError) error = NULL;
    c->resolved->lowered->policy = run[i];
    g_assert_true (train (c, &options, 3, &error));
  }
  options.timeout_s = 0.5;
  for (gsize i = 0; i < G_N_ELEMENTS (hang); i++) {
    g_autoptr (GError) error = NULL;
    c->resolved->lowered->policy = hang[i];
    g_assert_false (train (c, &options, 1, &error));
    g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_TIMEOUT);
    assert_says (error, "receiving from rank");
    assert_says (error, "of edge 0");
  }
}

/* ---- The caller's own loss ---- */

#define LAYERS                                                                                     \
  "{'layers': [{'type': 'linear', 'in': 9, 'out': 6}, {'type': 'gelu'}, "                          \
  "{'type': 'linear', 'in': 6, 'out': 5}], 'loss': 'none'}"

static void
half_square (int microbatch, const PwTensor *output, PwTensor *gradient, double *loss,
             gpointer data) {
  (void)microbatch;
  (void)data;
  const float *y = output->data;
  float *dy = gradient->data;
  for (int64_t i = 0; i < pw_tensor_elements (output); i++) {
    *loss += 0.5 * (double)y[i] * (double)y[i];
    dy[i] = y[i];
  }
}

static void
run_with_loss (const PwBackend *backend, float *outputs, double *loss) {
  g_autoptr (ExecCase) c = exec_case_new (MEMBERS (LAYERS), NULL);
  g_autoptr (GError) error = NULL;
  PwExecOptions options = { .backend = backend, .timeout_s = 60 };
  g_autoptr (PwExec) exec = pw_exec_new (c->resolved, &options, &error);
  g_assert_no_error (error);
  int program = pw_exec_add (exec, c->resolved->lowered, &error);
  for (int s = 0; s < 3; s++) {
    PwExecBatch batch = exec_case_batch (c, s);
    batch.outputs = outputs;
    batch.loss_func = half_square;
    PwExecStep step;
    g_assert_true (pw_exec_run (exec, program, &batch, &step, &error));
    *loss = step.loss;
  }
}

static void
callers_loss (void) {
  float here[5 * 5], there[5 * 5];
  double loss_here = 0, loss_there = 0;
  run_with_loss (&pw_backend_cpu, here, &loss_here);
  run_with_loss (&pw_backend_cuda, there, &loss_there);
  g_assert_cmpfloat (loss_here, >, 0);
  g_assert_cmpfloat (fabs (loss_here - loss_there), <=, 1e-5 * fabs (loss_here));
  for (gsize i = 0; i < G_N_ELEMENTS (here); i++)
    g_assert_cmpfloat (fabsf (here[i] - there[i]), <=, 1e-5f);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  pw_fake_set_devices (2);
  g_test_add_func ("/device/faults/memory-that-runs-out-is-named-with-the-prediction",
                   memory_runs_out);
  g_test_add_func ("/device/faults/ranks-need-devices-or-leave-to-share", ranks_need_devices);
  g_test_add_func ("/device/faults/refused-launches-name-their-rank", launches_fail);
  g_test_add_func ("/device/faults/broken-devices-end-the-run", devices_break);
  g_test_add_func ("/device/faults/a-device-that-stands-ends-the-run-in-time", a_device_stands);
  g_test_add_func ("/device/faults/orders-need-the-queues-that-the-checker-says",
                   orders_need_queues);
  g_test_add_func ("/device/train/the-callers-loss-is-computed-on-the-host", callers_loss);
  return g_test_run ();
}
