/* Calibration: one factor per stage and kind of action. A trace knows whole actions only, so the
 * layers of a stage keep the proportions that the table had. */
#include "plans/calibrate.h"

#include <string.h>

/* Measured durations of one stage. */
typedef struct {
  double sum[PW_ACTION_N];
  int64_t n[PW_ACTION_N];
} StageTimes;

static double
mean (const StageTimes *times, PwActionKind kind) {
  return times->n[kind] > 0 ? times->sum[kind] / (double)times->n[kind] : 0;
}

/* The first iteration of several is warm-up. A pair shares its time between two actions, so it says
 * nothing about either. */
static StageTimes *
measure_stages (const PwTrace *trace, int stages) {
  StageTimes *times = g_new0 (StageTimes, (gsize)stages);
  gboolean in_pair = FALSE;
  for (guint i = 0; i < trace->records->len; i++) {
    const PwTraceRecord *record = &g_array_index (trace->records, PwTraceRecord, i);
    if (!pw_action_kinds[record->action.kind].is_compute)
      continue;
    gboolean alone = !in_pair && !record->action.paired;
    in_pair = record->action.paired;
    if (!alone || (int)record->action.stage >= stages
        || (trace->info.iterations > 1 && record->iteration == 0))
      continue;
    StageTimes *stage = &times[record->action.stage];
    stage->sum[record->action.kind] += record->end - record->start;
    stage->n[record->action.kind]++;
  }
  return times;
}

/* Mean of what unequal micro-batches take, relative to the nominal one. */
static double
mean_factor (const PwStageCosts *costs, int stage) {
  if (costs->factor == NULL)
    return 1;
  double sum = 0;
  for (int m = 0; m < costs->microbatches; m++)
    sum += costs->factor[(gsize)m * (gsize)costs->stages + (gsize)stage];
  return sum / costs->microbatches;
}

/* Where one time of all layers is found in a row. */
typedef enum { TIME_FORWARD, TIME_INPUT, TIME_WEIGHT, TIME_UPDATE } LayerTime;

static double *
layer_time (PwLayerCost *cost, LayerTime which) {
  switch (which) {
  case TIME_FORWARD:
    return &cost->forward_s;
  case TIME_INPUT:
    return &cost->input_s;
  case TIME_WEIGHT:
    return &cost->weight_s;
  case TIME_UPDATE:
    return &cost->update_s;
  }
  g_assert_not_reached ();
}

typedef struct {
  PwLayerCosts *costs;
  int first, end;  /* the stage's layers */
  int64_t samples; /* the nominal micro-batch's */
} Stage;

static double
layer_sum (const Stage *stage, LayerTime which) {
  double sum = 0;
  for (int l = stage->first; l < stage->end; l++) {
    PwLayerCost cost;
    pw_layer_costs_at (stage->costs, l, (double)stage->samples, &cost);
    sum += *layer_time (&cost, which);
  }
  return sum;
}

/* Makes the layers' sum TARGET instead of SUM. Where the table had nothing there are no proportions
 * to keep: every layer gets the same. */
static void
set_sum (const Stage *stage, LayerTime which, double sum, double target) {
  target = MAX (target, 0);
  for (int t = 0; t < stage->costs->n_tables; t++) {
    PwLayerCostTable *table = &stage->costs->tables[t];
    double size = which == TIME_UPDATE ? 1 : (double)table->samples / (double)stage->samples;
    for (int l = stage->first; l < stage->end; l++) {
      double *time = layer_time (&table->layers[l], which);
      *time = sum > 0 ? *time * (target / sum) : target * size / (stage->end - stage->first);
    }
  }
}

static void
calibrate_stage (const Stage *stage, const StageTimes *times, double factor) {
  double overhead = stage->costs->action_overhead_s;
  const struct {
    LayerTime which;
    PwActionKind kind;
    double factor;
  } rows[] = {
    { .which = TIME_FORWARD, .kind = PW_ACTION_FORWARD, .factor = factor },
    { .which = TIME_INPUT, .kind = PW_ACTION_INPUT_GRADIENT, .factor = factor },
    { .which = TIME_WEIGHT, .kind = PW_ACTION_WEIGHT_GRADIENT, .factor = factor },
    { .which = TIME_UPDATE, .kind = PW_ACTION_UPDATE, .factor = 1 },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    if (times->n[rows[i].kind] > 0)
      set_sum (stage, rows[i].which, layer_sum (stage, rows[i].which),
               mean (times, rows[i].kind) / rows[i].factor - overhead);
  if (times->n[PW_ACTION_BACKWARD] == 0 || times->n[PW_ACTION_INPUT_GRADIENT] > 0)
    return;
  double input = layer_sum (stage, TIME_INPUT), weight = layer_sum (stage, TIME_WEIGHT);
  double target = mean (times, PW_ACTION_BACKWARD) / factor - overhead;
  double share = input + weight > 0 ? input / (input + weight) : 0.5;
  set_sum (stage, TIME_INPUT, input, target * share);
  set_sum (stage, TIME_WEIGHT, weight, target * (1 - share));
}

static gboolean
check_trace (const PwResolvedPlan *resolved, const PwTrace *trace, GError **error) {
  const PwTraceInfo *info = &trace->info;
  if (info->unitless) {
    g_set_error (error, PW_COSTS_ERROR, PW_COSTS_ERROR_MISMATCH,
                 "the trace was made with synthetic costs: it has no seconds");
    return FALSE;
  }
  if (info->stages == resolved->partition->stages)
    return TRUE;
  g_set_error (error, PW_COSTS_ERROR, PW_COSTS_ERROR_MISMATCH,
               "the trace has %d stages, the plan %d", info->stages, resolved->partition->stages);
  return FALSE;
}

PwLayerCosts *
pw_costs_calibrate (const PwResolvedPlan *resolved, const PwTrace *trace, GError **error) {
  if (!check_trace (resolved, trace, error))
    return NULL;
  const PwPartition *partition = resolved->partition;
  PwLayerCosts *costs = pw_layer_costs_copy (resolved->layer_costs);
  g_free (costs->source);
  costs->source = g_strdup ("calibrated");
  g_autofree StageTimes *times = measure_stages (trace, partition->stages);
  for (int s = 0; s < partition->stages; s++) {
    Stage stage = {
      .costs = costs,
      .first = partition->bounds[s],
      .end = partition->bounds[s + 1],
      .samples = resolved->samples[0],
    };
    calibrate_stage (&stage, &times[s], mean_factor (resolved->costs, s));
  }
  return costs;
}
