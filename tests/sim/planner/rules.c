#include "rules.h"

#include <math.h>

void
rules_init (Rules *rules, const PwSearchInput *input) {
  *rules = (Rules){ .ranks = input->ranks,
                    .stages = input->ranks * input->chunks,
                    .microbatches = input->microbatches };
  g_assert_cmpint (rules->stages, <=, RULES_STAGES);
  g_assert_cmpint (rules->microbatches, <=, RULES_MICROBATCHES);
  for (int s = 0; s < rules->stages; s++) {
    const PwStageCost *cost = &input->costs->stage[s];
    rules->rank_of[s] = s < rules->ranks ? s : 2 * rules->ranks - 1 - s;
    rules->cost[STEP_FORWARD][s] = cost->forward;
    rules->cost[STEP_INPUT][s] = cost->input;
    rules->cost[STEP_WEIGHT][s] = cost->weight;
    rules->held[s] = input->held[s];
    rules->kept[s] = input->kept[s];
  }
  for (int s = 0; s + 1 < rules->stages; s++)
    if (rules->rank_of[s] != rules->rank_of[s + 1])
      rules->transfer[s] = pw_link_time (&input->costs->link[s], input->costs->message_bytes[s]);
  double start = 0;
  for (int rank = 0; rank < rules->ranks; rank++) {
    rules->limit[rank] = input->limit[rank];
    rules->origin[rank] = input->objective == PW_OBJECTIVE_SPAN ? start : 0;
    start += rules->cost[STEP_FORWARD][rank] + rules->transfer[rank];
  }
}

gboolean
rules_allow (const Rules *rules, const Counts *counts, Step k, int s) {
  int before = k == STEP_FORWARD ? rules->microbatches : counts->done[k - 1][s];
  if (counts->done[k][s] >= before)
    return FALSE;
  if (k != STEP_FORWARD)
    return TRUE;
  double held = rules->held[s];
  for (int t = 0; t < rules->stages; t++)
    if (rules->rank_of[t] == rules->rank_of[s])
      held += rules->held[t] * (counts->done[STEP_FORWARD][t] - counts->done[STEP_INPUT][t])
              + rules->kept[t] * (counts->done[STEP_INPUT][t] - counts->done[STEP_WEIGHT][t]);
  return held <= rules->limit[rules->rank_of[s]] * (1 + 1e-9);
}

gboolean
rules_is_fed (const Rules *rules, const Counts *counts, Step k, int s) {
  int m = counts->done[k][s];
  if (k == STEP_FORWARD)
    return s == 0 || m < counts->done[k][s - 1];
  return k == STEP_WEIGHT || s + 1 == rules->stages || m < counts->done[k][s + 1];
}

double
rules_value (const Rules *rules, const double *end) {
  double value = -INFINITY;
  for (int rank = 0; rank < rules->ranks; rank++)
    value = MAX (value, end[rank] - rules->origin[rank]);
  return value;
}
