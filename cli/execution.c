#include "cli/execution.h"
#include "cli/report.h"
#include "cli/command.h"
#include "cli/table.h"
#include "sim/sim.h"
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* The ranks that are in this process. Ranks that cannot be shared out are refused later. */
static void
find_ranks_here (const PwExecOptions *options, int ranks, int *first, int *n) {
  const PwBootstrap *bootstrap = options->bootstrap;
  *n = bootstrap ? MAX (1, ranks / bootstrap->size) : ranks;
  *first = bootstrap ? MIN (bootstrap->rank * *n, ranks - 1) : 0;
  *n = MIN (*n, ranks - *first);
}

const char *const pw_execution_without[] = { "p2p-sharing",
                                             "node-fabric",
                                             "link-duplex",
                                             "ranks-per-node",
                                             "network-latency",
                                             "network-bandwidth",
                                             "network-duplex",
                                             "network-cards",
                                             "compute-slowdown-while-communicating",
                                             "rank-factors",
                                             "microbatch-factors",
                                             "gradient-reduction",
                                             "collective-algorithm",
                                             "collective-latency",
                                             "collective-bandwidth",
                                             NULL };

/* What is missing without RANK_BYTES is said before the plan's memory is known. */
static gboolean
check_backend (const PwPlan *plan, const PwExecOptions *options, int ranks,
               const int64_t *rank_bytes, GError **error) {
  static const PwArithmetic arithmetic[] = { [PW_PRECISION_FP32] = PW_ARITHMETIC_FP32,
                                             [PW_PRECISION_BF16] = PW_ARITHMETIC_BF16,
                                             [PW_PRECISION_FP16] = PW_ARITHMETIC_FP16,
                                             [PW_PRECISION_TF32] = PW_ARITHMETIC_TF32 };
  const PwBootstrap *bootstrap = options->bootstrap;
  int first, n;
  find_ranks_here (options, ranks, &first, &n);
  const PwBackendRun run = { .ranks = n,
                             .first_place = bootstrap ? bootstrap->local_rank * n : 0,
                             .processes = bootstrap ? bootstrap->local_size : 1,
                             .share_devices = plan->share_devices,
                             .graphs = plan->cuda_graphs,
                             .arithmetic = arithmetic[plan->precision],
                             .rank_bytes = rank_bytes ? rank_bytes + first : NULL };
  return !options->backend->check || options->backend->check (&run, error);
}

gboolean
pw_execution_options (const PwPlan *plan, PwExecOptions *options, GError **error) {
  if (!pw_plan_check_runnable (plan, error))
    return FALSE;
  options->backend = pw_backend_get (plan->backend, error);
  if (!options->backend || !check_backend (plan, options, plan->ranks, NULL, error))
    return FALSE;
  options->transport = pw_transport_get (plan->transport, error);
  if (!options->transport)
    return FALSE;
  options->memory_limit = plan->memory_limit;
  options->share_devices = plan->share_devices;
  options->cuda_graphs = plan->cuda_graphs;
  return TRUE;
}

/* What the machine has, or what the control group leaves of it. */
static double
machine_bytes (void) {
  double bytes = (double)sysconf (_SC_PHYS_PAGES) * (double)sysconf (_SC_PAGESIZE);
  g_autofree char *text = NULL;
  if (g_file_get_contents ("/sys/fs/cgroup/memory.max", &text, NULL, NULL)
      && g_ascii_isdigit (text[0]))
    bytes = MIN (bytes, g_ascii_strtod (text, NULL));
  return bytes;
}

static gboolean
check_host_memory (const int64_t *rank_bytes, int ranks, GError **error) {
  double needed = 0, available = machine_bytes ();
  for (int r = 0; r < ranks; r++)
    needed += (double)rank_bytes[r];
  if (needed <= available)
    return TRUE;
  char text[2][PW_TEXT_MAX];
  return pw_input_fail (error, "the plan's ranks need %s, this machine has %s",
                        pw_format_bytes ((int64_t)needed, text[0]),
                        pw_format_bytes ((int64_t)available, text[1]));
}

/* Refused before anything is allocated, with what would fit instead. */
static gboolean
check_limit (const PwPlan *plan, const PwSimResult *result, GError **error) {
  if (plan->memory_limit <= 0 || result->peak_memory_bytes <= plan->memory_limit)
    return TRUE;
  g_autoptr (PwSimulation) simulation = pw_simulate_plan (plan, 1, error);
  if (!simulation)
    return FALSE;
  g_autoptr (PwVerdict) verdict = pw_verdict_new (plan, simulation, plan->memory_limit);
  if (!verdict)
    return TRUE;
  g_autofree char *why = pw_report_verdict_sentence (verdict);
  g_autofree char *advice = pw_report_verdict_advice (verdict);
  return pw_input_fail (error, "%s; %s", why, advice);
}

gboolean
pw_execution_check_memory (const PwPlan *plan, const PwResolvedPlan *resolved,
                           const PwExecOptions *options, int64_t (*predicted)[PW_MEMORY_N],
                           GError **error) {
  PwSimInput input;
  pw_sim_input_init (&input);
  input.schedule = resolved->lowered;
  input.edges = resolved->edges;
  input.costs = resolved->costs;
  g_autoptr (PwSimResult) result = pw_sim_run (&input, error);
  if (!result)
    return FALSE;
  g_autofree int64_t *rank_bytes = g_new (int64_t, (gsize)result->ranks);
  for (int r = 0; r < result->ranks; r++) {
    rank_bytes[r] = result->rank[r].peak_memory_bytes;
    if (predicted)
      memcpy (predicted[r], result->rank[r].peak_by_category, sizeof predicted[r]);
  }
  if (!check_limit (plan, result, error))
    return FALSE;
  if (options->backend->check)
    return check_backend (plan, options, result->ranks, rank_bytes, error);
  int first, n;
  find_ranks_here (options, result->ranks, &first, &n);
  return check_host_memory (rank_bytes + first, n, error);
}

gboolean
pw_execution_check_plan (const PwPlan *plan, const PwExecOptions *options, GError **error) {
  g_autoptr (PwResolvedPlan) resolved = pw_plan_resolve (plan, NULL, error);
  return resolved && pw_execution_check_memory (plan, resolved, options, NULL, error);
}

void
pw_execution_set_data (PwPlan *plan, const char *file) {
  if (!file)
    return;
  plan->data.kind = PW_DATA_TEXT;
  g_free (plan->data.path);
  plan->data.path = g_strdup (file);
}

static volatile int interrupted;

static void
on_interrupt (int signal) {
  (void)signal;
  interrupted = 1;
}

const volatile int *
pw_execution_catch_interrupt (void) {
  struct sigaction action
      = { .sa_handler = on_interrupt, .sa_flags = (int)(SA_RESTART | SA_RESETHAND) };
  sigemptyset (&action.sa_mask);
  sigaction (SIGINT, &action, NULL);
  return &interrupted;
}
