/* The executor on the CUDA backend, its kernels run by the host, streams late at random: whatever
 * the schedule, the number of ranks, how they share devices and what the policy lets share a
 * stream, training is that of the backend's own sequential run to the last bit, and the CPU's
 * nearly.
 *
 * What a policy cannot carry out by the checker ends with the timeout, and names rank and edge. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "exec/half.h"
#include "schedules/check.h"
#include "tests/device/fake/fake.h"
#include "tests/exec/exec_case.h"
#include "tests/support/repeats.h"

#define STEPS TEST_REPEATS (5, 2)

extern const PwBackend pw_backend_cuda;
extern const PwTransport pw_transport_nccl;

/* Small: the host runs each thread of each kernel. */
typedef struct {
  const char *name, *json;
} Model;
static const Model models[] = {
  { "mlp", "{'name': 'mlp', 'input': 5, 'width': 8, 'depth': %d, 'output': 3}" },
  { "gpt", "{'name': 'gpt', 'blocks': %d, 'width': 8, 'heads': 1, 'tokens': 4, 'vocabulary': 11}" },
};
static const struct {
  const char *name, *json;
  int chunks;          /* stages per rank */
  int microbatches[2]; /* on 2 and on 4 ranks */
} schedules[] = {
  { "gpipe", "'name': 'gpipe'", 1, { 2, 4 } },
  { "1f1b", "'name': '1f1b'", 1, { 3, 5 } },
  { "interleaved-1f1b", "'name': 'interleaved-1f1b', 'chunks': 2", 2, { 4, 4 } },
  { "zb-h1", "'name': 'zb-h1'", 1, { 3, 5 } },
  { "zb-v", "'name': 'zb-v'", 2, { 4, 8 } },
  { "dualpipe-v", "'name': 'dualpipe-v'", 2, { 4, 8 } },
  { "chimera", "'name': 'chimera'", 1, { 2, 4 } },
};

typedef struct {
  const PwBackend *backend;
  const PwTransport *transport; /* NULL: copies */
  gboolean is_sequential;
  double timeout_s; /* 0: 120 */
  int trace;
} Run;

/* NULL: it failed. */
static char *
train (ExecCase *c, const Run *run, double *losses, PwTrace **trace, GError **error) {
  PwExecOptions options = { .backend = run->backend,
                            .transport = run->transport,
                            .timeout_s = run->timeout_s > 0 ? run->timeout_s : 120,
                            .share_devices = TRUE,
                            .no_pinning = TRUE,
                            .trace_iterations = run->trace };
  g_autoptr (PwExec) exec = run->is_sequential
                                ? pw_exec_new_sequential (c->resolved, &options, error)
                                : pw_exec_new (c->resolved, &options, error);
  int program = exec ? pw_exec_add (exec, c->resolved->lowered, error) : -1;
  if (program < 0)
    return NULL;
  for (int s = 0; s < STEPS; s++) {
    PwExecBatch batch = exec_case_batch (c, s);
    PwExecStep step;
    if (!pw_exec_run (exec, program, &batch, &step, error))
      return NULL;
    losses[s] = step.loss;
    g_assert_cmpfloat (step.iteration_s, >, 0);
  }
  if (trace)
    *trace = pw_exec_trace (exec);
  return pw_exec_parameters_sha256 (exec, error);
}

/* Micro-batches of two samples and one of one, or all of one. */
static ExecCase *
make_case (int model, int schedule, int ranks, const char *policy, gboolean batched) {
  int M = schedules[schedule].microbatches[ranks > 2];
  int stages = ranks * schedules[schedule].chunks;
  g_autoptr (GString) text = g_string_new ("'model': ");
  g_string_append_printf (text, models[model].json, stages); /* NOLINT: formats are ours */
  g_string_append_printf (
      text,
      ", 'ranks': %d, 'schedule': {%s, 'microbatches': %d}, 'batch': %d, 'seed': 7, "
      "'optimizer': {'name': 'adamw', 'learning_rate': 0.003, 'weight_decay': 0.1}, "
      "'data': 'random', 'p2p_policy': '%s', 'p2p_batched': %s",
      ranks, schedules[schedule].json, M, model == 0 ? 2 * M - 1 : M, policy,
      batched ? "true" : "false");
  return exec_case_new (text->str, NULL);
}

static void
set_delays (void) {
  pw_fake_set_seed ((uint64_t)g_test_rand_int () | 1);
  pw_fake_set_delay_us (100);
}

static void
assert_equal_losses (const double *losses, const double *expected) {
  for (int s = 0; s < STEPS; s++)
    g_assert_cmpfloat (losses[s], ==, expected[s]);
}

static gboolean
is_valid (const ExecCase *c, PwPolicy policy, gboolean batched) {
  PwCheckOptions options = { .policy = policy, .batched = batched };
  g_autoptr (PwCheckReport) report
      = pw_schedule_check (c->resolved->lowered, c->resolved->edges, &options);
  return report->valid;
}

static char *
train_sequentially (ExecCase *c, const PwBackend *backend, double *losses) {
  g_autoptr (GError) error = NULL;
  pw_fake_set_delay_us (0);
  char *sha = train (c, &(Run){ .backend = backend, .is_sequential = TRUE }, losses, NULL, &error);
  g_assert_no_error (error);
  return sha;
}

/* The backend's own sequential run: the same under every schedule that cuts model and mini-batch
 * alike, so it is made once. */
typedef struct {
  int model, stages, microbatches, directions;
  char *sha;
  double losses[STEPS];
} Reference;

static const Reference *
reference_of (ExecCase *c, int model) {
  static Reference references[32];
  static int n_references;
  const PwSchedule *schedule = c->resolved->compute;
  Reference wanted = { .model = model,
                       .stages = schedule->stages,
                       .microbatches = schedule->microbatches,
                       .directions = schedule->placement->directions };
  for (int i = 0; i < n_references; i++) {
    const Reference *r = &references[i];
    if (r->model == wanted.model && r->stages == wanted.stages
        && r->microbatches == wanted.microbatches && r->directions == wanted.directions)
      return r;
  }
  g_assert_cmpint (n_references, <, (int)G_N_ELEMENTS (references));
  double on_cpu[STEPS];
  wanted.sha = train_sequentially (c, &pw_backend_cuda, wanted.losses);
  g_autofree char *sha = train_sequentially (c, &pw_backend_cpu, on_cpu);
  for (int i = 0; i < STEPS; i++)
    g_assert_cmpfloat (fabs (wanted.losses[i] - on_cpu[i]), <=, 1e-5 * fmax (1, fabs (on_cpu[i])));
  references[n_references] = wanted;
  return &references[n_references++];
}

static void
compare (ExecCase *c, const Run *run, const char *reference, const double *expected) {
  g_autoptr (GError) error = NULL;
  double losses[STEPS];
  set_delays ();
  g_autofree char *sha = train (c, run, losses, NULL, &error);
  g_assert_no_error (error);
  assert_equal_losses (losses, expected);
  g_assert_cmpstr (sha, ==, reference);
}

static void
compare_on_devices (ExecCase *c, int devices, const char *reference, const double *expected) {
  g_test_message ("%d ranks on %d devices", c->plan->ranks, devices);
  pw_fake_set_devices (devices);
  compare (c, &(Run){ .backend = &pw_backend_cuda, .trace = devices % 2 }, reference, expected);
  pw_fake_set_devices (2);
}

/* The thread sanitizer takes ten times as long, and minutes for attention's tiles; what gpt adds to
 * mlp is its kernels, which device/ops runs under it one by one, half types too. */
static gboolean
is_left_out (int model, int schedule, int ranks) {
#ifdef __SANITIZE_THREAD__
  return model == 1 ? ranks > 2 || schedule != 3 : schedule % 4 != 1; /* zb-h1; 1f1b, dualpipe-v */
#else
  (void)model;
  (void)schedule;
  (void)ranks;
  return FALSE;
#endif
}

static void
schedules_equal_sequential (gconstpointer argument) {
  int model = (int)((const Model *)argument - models);
  for (int s = 0; s < (int)G_N_ELEMENTS (schedules); s++)
    for (int ranks = 2; ranks <= 4; ranks += 2) {
      if (is_left_out (model, s, ranks))
        continue;
      g_test_message ("%s, %s", models[model].name, schedules[s].name);
      g_autoptr (ExecCase) c = make_case (model, s, ranks, "per-edge", FALSE);
      const Reference *reference = reference_of (c, model);
      gboolean is_alone = ranks == 2 || s % 2;
      if (is_alone || model == 0)
        compare_on_devices (c, ranks, reference->sha, reference->losses);
      if (!is_alone || model == 0)
        compare_on_devices (c, 1, reference->sha, reference->losses);
    }
}

static void
policy_on_schedule (int model, int schedule, int ranks, PwPolicy policy, gboolean batched) {
  g_autoptr (ExecCase) c = make_case (model, schedule, ranks, pw_policies[policy].name, batched);
  g_autoptr (GError) error = NULL;
  double losses[STEPS];
  g_test_message ("%s, %s, %d ranks, %s%s", models[model].name, schedules[schedule].name, ranks,
                  pw_policies[policy].name, batched ? ", batched" : "");
  if (is_valid (c, policy, batched)) {
    const Reference *reference = reference_of (c, model);
    gboolean is_nccl = ((int)policy + schedule + batched) % 2;
    Run run = { .backend = &pw_backend_cuda,
                .transport = is_nccl ? &pw_transport_nccl : NULL,
                .trace = is_nccl };
    compare (c, &run, reference->sha, reference->losses);
    return;
  }
  Run run = { .backend = &pw_backend_cuda, .timeout_s = 0.5 };
  g_test_message ("a deadlock by the checker");
  g_assert_null (train (c, &run, losses, NULL, &error));
  g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_TIMEOUT);
  g_assert_nonnull (strstr (error->message, "of edge"));
}

static void
policies_equal_sequential (void) {
  pw_fake_set_devices (2);
  for (int s = 0; s < (int)G_N_ELEMENTS (schedules); s++) {
    if (is_left_out (0, s, 4))
      continue;
    for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++)
      for (int batched = 0; batched <= 1; batched++)
        policy_on_schedule (0, s, 4, policy, batched);
  }
}

static ExecCase *
precise_case (const char *model, const char *schedule, const char *precision) {
  g_autofree char *text = g_strdup_printf (
      "'model': %s, 'ranks': 2, 'schedule': {'name': '%s', 'microbatches': 4}, 'batch': 7, "
      "'seed': 7, 'optimizer': {'name': 'adamw', 'learning_rate': 0.003, 'weight_decay': 0.1}, "
      "'data': 'random', 'precision': '%s'",
      model, schedule, precision);
  return exec_case_new (text, NULL);
}

/* The same steps in half the bytes: losses stay near those of fp32, and are not the same. */
static void
bf16_equals_its_sequential (void) {
  static const char *const mlp = "{'name': 'mlp', 'input': 5, 'width': 8, 'depth': 3, 'output': 3}";
  static const char *const gpt
      = "{'name': 'gpt', 'blocks': 2, 'width': 8, 'heads': 1, 'tokens': 4, 'vocabulary': 11}";
  static const struct {
    const char *schedule, *const *model;
  } rows[] = { { "1f1b", &mlp }, { "zb-h1", &mlp }, { "chimera", &mlp }, { "1f1b", &gpt } };
  pw_fake_set_devices (2);
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
#ifdef __SANITIZE_THREAD__
    if (rows[i].model == &gpt)
      continue;
#endif
    g_test_message ("%s, %s", rows[i].schedule, *rows[i].model);
    g_autoptr (ExecCase) fp32 = precise_case (*rows[i].model, rows[i].schedule, "fp32");
    g_autoptr (ExecCase) bf16 = precise_case (*rows[i].model, rows[i].schedule, "bf16");
    double near[STEPS], expected[STEPS];
    g_autofree char *of_fp32 = train_sequentially (fp32, &pw_backend_cuda, near);
    g_autofree char *reference = train_sequentially (bf16, &pw_backend_cuda, expected);
    g_assert_cmpstr (of_fp32, !=, reference);
    for (int s = 0; s < STEPS; s++) {
      g_test_message ("fp32 %g, bf16 %g", near[s], expected[s]);
      g_assert_cmpfloat (fabs (expected[s] - near[s]), <=, 0.03 * near[s]);
      g_assert_cmpfloat (expected[s], !=, near[s]);
    }
    compare_on_devices (bf16, 2, reference, expected);
    compare_on_devices (bf16, 1, reference, expected);
    compare (bf16, &(Run){ .backend = &pw_backend_cuda, .transport = &pw_transport_nccl },
             reference, expected);
  }
}

/* What is set is what is read, to the last bit of fp32; without masters, in inference, it is
 * rounded to nearest, ties to even. */
static void
masters_keep_fp32 (void) {
  static const float set[] = { 1.00390625f, 1.01171875f, -3.14159274f, 1e-40f, 0 };
  static const float even[] = { 1.0f, 1.015625f, -3.140625f, 0x1p-133f, 0 };
  for (int training = 0; training <= 1; training++) {
    g_autoptr (GError) error = NULL;
    PwResolveOptions options
        = { .mode = training ? PW_MODE_TRAINING : PW_MODE_INFERENCE, .updates = TRUE };
    g_autoptr (ExecCase) c
        = exec_case_new ("'model': {'name': 'mlp', 'input': 5, 'depth': 1, 'width': 5}, "
                         "'ranks': 2, 'precision': 'bf16'",
                         &options);
    PwExecOptions on_cuda = { .backend = &pw_backend_cuda, .share_devices = TRUE };
    g_autoptr (PwExec) exec = pw_exec_new (c->resolved, &on_cuda, &error);
    g_assert_no_error (error);
    float got[G_N_ELEMENTS (set)];
    g_assert_true (pw_exec_set_parameter (exec, 0, 1, set, &error));
    g_assert_true (pw_exec_get_parameter (exec, 0, 1, got, &error));
    g_assert_true (memcmp (got, training ? set : even, sizeof got) == 0);
  }
}

/* All values of two bytes, and half way between each and the next. */
static void
halves_round_to_even (void) {
  static const PwDtype types[] = { PW_DTYPE_BF16, PW_DTYPE_F16 };
  static const uint16_t infinities[] = { 0x7f80, 0x7c00 };
  for (gsize t = 0; t < G_N_ELEMENTS (types); t++)
    for (uint32_t bits = 0; bits < infinities[t]; bits++) {
      uint16_t both[] = { (uint16_t)bits, (uint16_t)(bits + 1) }, back[3];
      float values[3];
      pw__floats_from (types[t], both, 2, values);
      values[2] = values[0] / 2 + values[1] / 2;
      pw__floats_to (types[t], values, 3, back);
      g_assert_cmpint (back[0], ==, both[0]);
      g_assert_cmpint (back[1], ==, both[1]);
      if (isfinite (values[1]))
        g_assert_cmpint (back[2], ==, bits % 2 == 0 ? both[0] : both[1]);
      float negative = -values[0];
      pw__floats_to (types[t], &negative, 1, back);
      g_assert_cmpint (back[0], ==, bits | 0x8000);
    }
}

static void
what_cannot_be_computed_is_refused (void) {
  static const struct {
    const char *precision, *message;
    const PwBackend *backend;
  } rows[] = {
    { "bf16", "the cpu backend computes in fp32 only", &pw_backend_cpu },
    { "fp16", "the cpu backend computes in fp32 only", &pw_backend_cpu },
    { "tf32", "the cpu backend computes in fp32 only", &pw_backend_cpu },
    { "fp16", "gradients in fp16 need", &pw_backend_cuda },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (ExecCase) c = precise_case ("'mlp'", "1f1b", rows[i].precision);
    PwExecOptions options = { .backend = rows[i].backend, .share_devices = TRUE };
    g_assert_null (pw_exec_new (c->resolved, &options, &error));
    g_assert_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED);
    g_assert_nonnull (strstr (error->message, rows[i].message));
  }
}

/* Mini-batches without a flush between them, weight versions on the device: as on the CPU, nearly,
 * and the same however late streams are. */
static void
streams_are_as_the_cpus (void) {
  static const char *const endless[] = { "pipedream", "pipedream-2bw" };
  for (gsize i = 0; i < G_N_ELEMENTS (endless); i++) {
    g_autofree char *schedule = g_strdup_printf ("'name': '%s'", endless[i]);
    g_autoptr (ExecCase) c = exec_case_new_scheduled (
        "{'name': 'mlp', 'input': 5, 'width': 8, 'depth': 5, 'output': 3}", schedule, "", 3, 4);
    double losses[3][STEPS];
    char *sha[3];
    for (int run = 0; run < 3; run++) {
      g_autoptr (GError) error = NULL;
      PwExecOptions options = { .backend = run > 0 ? &pw_backend_cuda : &pw_backend_cpu,
                                .timeout_s = 120,
                                .share_devices = TRUE,
                                .trace_iterations = run };
      set_delays ();
      g_autoptr (PwExec) exec = pw_exec_new (c->resolved, &options, &error);
      g_assert_no_error (error);
      sha[run] = exec_case_stream (c, exec, STEPS, losses[run]);
    }
    g_assert_cmpstr (sha[1], ==, sha[2]);
    assert_equal_losses (losses[1], losses[2]);
    for (int s = 0; s < STEPS; s++)
      g_assert_cmpfloat (fabs (losses[0][s] - losses[1][s]), <=, 1e-5 * fmax (1, losses[0][s]));
    for (int run = 0; run < 3; run++)
      g_free (sha[run]);
  }
}

#define WITH_DROPOUT                                                                               \
  "{'layers': [{'type': 'linear', 'in': 5, 'out': 8}, {'type': 'gelu'}, "                          \
  "{'type': 'rmsnorm', 'features': 8}, {'type': 'dropout', 'probability': 0.3}, "                  \
  "{'type': 'linear', 'in': 8, 'out': 8}, {'type': 'dropout', 'probability': 0.2}, "               \
  "{'type': 'linear', 'in': 8, 'out': 3}]}"

/* RMSNorm, and dropout, which draws the same on every backend: in a micro-batch of any sample, and
 * when it is run again. A linear layer and a gelu of one unit, which are one product. */
static void
lists_equal_sequential (void) {
  static const char *const rows[] = {
    WITH_DROPOUT ", 'schedule': {'name': '1f1b', 'microbatches': 3}, 'recompute': 'stage'",
    WITH_DROPOUT ", 'schedule': {'name': 'zb-h1', 'microbatches': 4}",
    "{'name': 'mlp', 'input': 5, 'width': 8, 'depth': 3, 'output': 3, 'activation': 'gelu'}, "
    "'schedule': {'name': '1f1b', 'microbatches': 3}, 'recompute': 'stage'",
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *members = g_strdup_printf (
        "'ranks': 2, 'batch': 7, 'seed': 7, 'data': 'random', 'model': %s", rows[i]);
    g_autoptr (ExecCase) c = exec_case_new (members, NULL);
    double expected[STEPS], on_cpu[STEPS];
    g_autofree char *reference = train_sequentially (c, &pw_backend_cuda, expected);
    g_autofree char *sha = train_sequentially (c, &pw_backend_cpu, on_cpu);
    for (int s = 0; s < STEPS; s++)
      g_assert_cmpfloat (fabs (expected[s] - on_cpu[s]), <=, 1e-5 * fmax (1, fabs (on_cpu[s])));
    compare_on_devices (c, 2, reference, expected);
  }
}

static void
traces_are_on_one_clock (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (ExecCase) c = make_case (0, 1, 2, "per-edge", FALSE);
  double losses[STEPS];
  PwTrace *trace = NULL;
  set_delays ();
  g_autofree char *sha
      = train (c, &(Run){ .backend = &pw_backend_cuda, .trace = 2 }, losses, &trace, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (trace->info.backend, ==, "cuda");
  int messages = 0, computes = 0;
  for (guint i = 0; i < trace->records->len; i++) {
    const PwTraceRecord *record = &g_array_index (trace->records, PwTraceRecord, i);
    g_assert_cmpfloat (record->end, >=, record->start);
    messages += pw_action_kinds[record->action.kind].is_send;
    computes += pw_action_kinds[record->action.kind].is_compute;
  }
  g_assert_cmpint (messages, ==, 2 * 2 * 3);
  g_assert_cmpint (computes, ==, 2 * 2 * (2 * 3 + 1));
  pw_trace_free (trace);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  for (gsize m = 0; m < G_N_ELEMENTS (models); m++) {
    g_autofree char *name = g_strdup_printf (
        "/device/train/%s-under-every-schedule-equals-sequential", models[m].name);
    g_test_add_data_func (name, &models[m], schedules_equal_sequential);
  }
  g_test_add_func ("/device/train/every-policy-equals-sequential", policies_equal_sequential);
  g_test_add_func ("/device/train/bf16-equals-its-sequential-run", bf16_equals_its_sequential);
  g_test_add_func ("/device/train/dropout-and-pairs-equal-the-sequential-run",
                   lists_equal_sequential);
  g_test_add_func ("/device/train/masters-keep-fp32", masters_keep_fp32);
  g_test_add_func ("/device/train/halves-round-to-even", halves_round_to_even);
  g_test_add_func ("/device/train/what-cannot-be-computed-is-refused",
                   what_cannot_be_computed_is_refused);
  g_test_add_func ("/device/train/streams-are-as-the-cpus", streams_are_as_the_cpus);
  g_test_add_func ("/device/train/traces-are-of-the-device", traces_are_on_one_clock);
  return g_test_run ();
}
