/* What the executor itself costs: 1F1B on the empty backend, pinned ranks.
 *   bench_exec_overhead [ranks [micro-batches [iterations]]] */
#include <stdio.h>
#include <stdlib.h>

#include "exec/exec.h"

static PwResolvedPlan *
resolve (int ranks, int microbatches, PwPlan **plan) {
  g_autoptr (GError) error = NULL;
  g_autofree char *text = g_strdup_printf (
      "{\"model\": {\"name\": \"mlp\", \"input\": 16, \"width\": 16, \"depth\": %d, \"output\": "
      "16}, "
      "\"ranks\": %d, \"partition\": {\"method\": \"parameters\"}, \"batch\": %d, "
      "\"schedule\": {\"name\": \"1f1b\", \"microbatches\": %d}, \"data\": \"random\"}",
      ranks, ranks, microbatches, microbatches);
  *plan = pw_plan_parse ("bench", text, &error);
  PwResolvedPlan *resolved = *plan ? pw_plan_resolve (*plan, NULL, &error) : NULL;
  if (!resolved)
    fprintf (stderr, "%s\n", error->message);
  return resolved;
}

int
main (int argc, char **argv) {
  int ranks = argc > 1 ? atoi (argv[1]) : 2;
  int microbatches = argc > 2 ? atoi (argv[2]) : 64;
  int iterations = argc > 3 ? atoi (argv[3]) : 2000;
  g_autoptr (GError) error = NULL;
  PwPlan *plan = NULL;
  PwResolvedPlan *resolved = resolve (ranks, microbatches, &plan);
  if (!resolved)
    return 1;
  for (int traced = 0; traced < 2; traced++) {
    PwExecOptions options = { .backend = &pw_backend_empty, .trace_iterations = traced ? 4 : 0 };
    g_autoptr (PwExec) exec = pw_exec_new (resolved, &options, &error);
    int program = exec ? pw_exec_add (exec, resolved->lowered, &error) : -1;
    g_autofree float *data = g_new0 (float, 64 * (gsize)microbatches);
    PwExecBatch batch = { .inputs = data, .targets = data };
    double working_s = 0;
    double actions = 0;
    for (int i = 0; program >= 0 && i < iterations; i++) {
      if (!pw_exec_run (exec, program, &batch, NULL, &error))
        break;
      for (int r = 0; i >= iterations / 10 && r < ranks; r++) {
        PwExecRank rank;
        pw_exec_rank (exec, r, &rank);
        working_s += rank.wall_time - rank.wait_time;
        actions += (double)rank.actions;
      }
    }
    if (error) {
      fprintf (stderr, "%s\n", error->message);
      return 1;
    }
    printf ("%s: %.3f us per lowered action (%d ranks, %d micro-batches, %.0f actions)\n",
            traced ? "traced  " : "untraced", 1e6 * working_s / MAX (actions, 1), ranks,
            microbatches, actions);
  }
  pw_resolved_plan_free (resolved);
  pw_plan_free (plan);
  return 0;
}
