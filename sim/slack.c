/* Back through the compiled graph: what waits for an action leaves it its own slack and the time
 * for which it waited for something else. Differences of times that are equal are 0, so the
 * critical path has no slack at all, not a rounded one. */
#include "sim/program_private.h"

/* Ends of all nodes, messages being nodes whether they take time or not: an instant one may well
 * come later than the action that made it. */
static const double *
message_times (PwSimProgram *program, const PwSimTimed *timed) {
  double *time = program->time[0];
  if (program->last == timed)
    return time;
  if (program->costs->factor != NULL && timed->first == NULL)
    pw__sim_timed_find_actions (program->timed[0], program->layout);
  g_autofree double *table = g_new (double, (gsize)timed->n_rows);
  pw__sim_fill_table (timed, program->layout, &program->durations, table);
  pw__sim_evaluate (timed, &program->durations, table, time);
  return time;
}

void
pw_sim_slack (PwSimProgram *program, double *slack) {
  g_assert (program->last != NULL);
  const PwSimTimed *timed = pw__sim_program_timed (program, TRUE, NULL);
  g_assert (timed != NULL);
  const PwSimGraph *graph = timed->graph;
  const double *time = message_times (program, timed);
  double total = 0;
  for (int32_t i = 0; i < graph->n_last; i++)
    total = MAX (total, time[graph->last[i]]);
  g_autofree double *of_node = g_new (double, (gsize)graph->n_nodes);
  for (int32_t i = 0; i < graph->n_nodes; i++)
    of_node[i] = G_MAXDOUBLE;
  for (int32_t i = 0; i < graph->n_last; i++)
    of_node[graph->last[i]] = total - time[graph->last[i]];
  for (int32_t i = graph->n_nodes - 1; i > 0; i--) {
    const int32_t waits[2] = { graph->a[i], graph->b[i] };
    double start = MAX (time[waits[0]], time[waits[1]]);
    for (int k = 0; k < 2; k++) {
      double left = of_node[i] + (start - time[waits[k]]);
      of_node[waits[k]] = MIN (of_node[waits[k]], left);
    }
  }
  for (int64_t id = 0; id < program->layout->n_actions; id++)
    slack[id] = of_node[graph->node[id]];
}
