/* Layer costs: estimated by the roofline model (Williams, Waterman, Patterson 2009), and read
 * between the measured sizes. */
#include "plans/costs.h"

#include <math.h>

#include "plans/plan_private.h"

#define ADAM_SLOTS 2

GQuark
pw_costs_error_quark (void) {
  return g_quark_from_static_string ("pw-costs-error-quark");
}

PwLayerCosts *
pw_layer_costs_new (const PwGraph *graph, const char *source, int n_tables) {
  PwLayerCosts *costs = g_new0 (PwLayerCosts, 1);
  costs->source = g_strdup (source);
  costs->model = g_strdup (graph->name);
  costs->precision = -1;
  costs->n_layers = graph->n_layers;
  costs->n_tables = n_tables;
  costs->tables = g_new0 (PwLayerCostTable, (gsize)n_tables);
  for (int t = 0; t < n_tables; t++) {
    costs->tables[t].layers = g_new0 (PwLayerCost, (gsize)graph->n_layers);
    for (int l = 0; l < graph->n_layers; l++)
      costs->tables[t].layers[l].layer = g_strdup (graph->layers[l].name);
  }
  return costs;
}

PwLayerCosts *
pw_layer_costs_copy (const PwLayerCosts *costs) {
  PwLayerCosts *copy = g_memdup2 (costs, sizeof *costs);
  copy->source = g_strdup (costs->source);
  copy->machine = g_strdup (costs->machine);
  copy->model = g_strdup (costs->model);
  copy->messages = pw_message_rates_copy (&costs->messages);
  copy->tables = g_memdup2 (costs->tables, (gsize)costs->n_tables * sizeof *costs->tables);
  for (int t = 0; t < costs->n_tables; t++) {
    PwLayerCostTable *table = &copy->tables[t];
    table->layers = g_memdup2 (table->layers, (gsize)costs->n_layers * sizeof *table->layers);
    for (int l = 0; l < costs->n_layers; l++)
      table->layers[l].layer = g_strdup (table->layers[l].layer);
  }
  return copy;
}

void
pw_layer_costs_free (PwLayerCosts *costs) {
  if (costs == NULL)
    return;
  for (int t = 0; t < costs->n_tables; t++) {
    for (int l = 0; costs->tables[t].layers != NULL && l < costs->n_layers; l++)
      g_free (costs->tables[t].layers[l].layer);
    g_free (costs->tables[t].layers);
  }
  g_free (costs->tables);
  g_free (costs->source);
  g_free (costs->machine);
  g_free (costs->model);
  pw_message_rates_clear (&costs->messages);
  g_free (costs);
}

/* Reads and writes of an optimiser's step: weight, gradient and states in, weight and states out,
 * all fp32; a weight of a half type is written beside its master. */
double
pw__layer_update_bytes (const PwLayerInfo *info, int optimizer_slots) {
  double bytes = 0;
  for (int i = 0; i < info->n_parameters; i++) {
    const PwShape *shape = &info->parameters[i].shape;
    double fp32 = (double)pw_shape_elements (shape) * (double)pw_dtype_bytes (PW_DTYPE_F32);
    bytes += (3 + 2 * optimizer_slots) * fp32;
    if (shape->dtype != PW_DTYPE_F32)
      bytes += (double)pw_shape_bytes (shape);
  }
  return bytes;
}

/* What a layer is estimated for. */
typedef struct {
  const PwHardware *hardware;
  PwPrecision precision; /* of its products */
  int64_t samples;
} Roof;

/* FLOPs and bytes of a sample, and bytes that move whatever the number of samples. */
static double
roofline (const Roof *roof, int64_t flops, int64_t bytes, int64_t fixed_bytes) {
  double all_flops = (double)roof->samples * (double)flops;
  double all_bytes = (double)roof->samples * (double)bytes + (double)fixed_bytes;
  double compute
      = all_flops / pw_hardware_product_rate (roof->hardware, roof->precision, all_flops);
  double memory = all_bytes / pw_hardware_memory_rate (roof->hardware, all_bytes);
  return MAX (compute, memory);
}

static PwPrecision
layer_precision (const PwLayerInfo *info, PwPrecision precision) {
  switch (info->output.dtype) {
  case PW_DTYPE_BF16:
    return PW_PRECISION_BF16;
  case PW_DTYPE_F16:
    return PW_PRECISION_FP16;
  default:
    return precision == PW_PRECISION_TF32 ? PW_PRECISION_TF32 : PW_PRECISION_FP32;
  }
}

static void
estimate_layer (const PwLayer *layer, const PwHardware *hardware, PwPrecision precision,
                int64_t samples, PwLayerCost *out) {
  const PwLayerInfo *info = &layer->info;
  const Roof roof = { .hardware = hardware,
                      .precision = layer_precision (info, precision),
                      .samples = samples };
  int64_t values = 0, gradients = 0;
  /* A layer that is given integers looks up the rows it needs, which its own bytes count. */
  for (int i = 0; i < info->n_parameters && layer->type->input_dtype != PW_DTYPE_I32; i++) {
    values += pw_shape_bytes (&info->parameters[i].shape);
    gradients += pw_shape_elements (&info->parameters[i].shape) * pw_dtype_bytes (PW_DTYPE_F32);
  }
  out->forward_s = roofline (&roof, info->flops_forward, info->bytes_forward, values);
  out->input_s = roofline (&roof, info->flops_input, info->bytes_input,
                           info->has_input_gradient ? values : 0);
  out->weight_s = roofline (&roof, info->flops_weight, info->bytes_weight, 2 * gradients);
  double update = layer->shares_with >= 0 ? 0 : pw__layer_update_bytes (info, ADAM_SLOTS);
  out->update_s = update / pw_hardware_memory_rate (hardware, update);
}

PwLayerCosts *
pw_layer_costs_new_analytic (const PwGraph *graph, const PwHardware *hardware,
                             PwPrecision precision, int64_t samples) {
  PwLayerCosts *costs = pw_layer_costs_new (graph, "analytic", 1);
  costs->machine = g_strdup (hardware->name);
  costs->precision = precision;
  costs->link = hardware->link;
  costs->messages = pw_message_rates_copy (&hardware->messages);
  costs->tables[0].samples = samples;
  for (int l = 0; l < graph->n_layers; l++)
    estimate_layer (&graph->layers[l], hardware, precision, samples, &costs->tables[0].layers[l]);
  return costs;
}

/* A + SHARE * (B - A), exact at both ends. */
static double
between (double a, double b, double share) {
  return share <= 0 ? a : share >= 1 ? b : a + share * (b - a);
}

/* Times grow with the samples, the update does not. */
static void
scale_layer (const PwLayerCost *cost, double scale, PwLayerCost *out) {
  *out = *cost;
  out->forward_s *= scale;
  out->input_s *= scale;
  out->weight_s *= scale;
  out->workspace_bytes = (int64_t)ceil ((double)cost->workspace_bytes * scale);
}

void
pw_layer_costs_at (const PwLayerCosts *costs, int layer, double samples, PwLayerCost *out) {
  const PwLayerCostTable *tables = costs->tables;
  int above = 0;
  while (above < costs->n_tables && (double)tables[above].samples < samples)
    above++;
  if (above == 0 || above == costs->n_tables) {
    const PwLayerCostTable *nearest = &tables[above == 0 ? 0 : above - 1];
    scale_layer (&nearest->layers[layer], samples / (double)nearest->samples, out);
    return;
  }
  const PwLayerCost *a = &tables[above - 1].layers[layer], *b = &tables[above].layers[layer];
  double from = (double)tables[above - 1].samples, to = (double)tables[above].samples;
  double share = (samples - from) / (to - from);
  *out = (PwLayerCost){
    .layer = a->layer,
    .forward_s = between (a->forward_s, b->forward_s, share),
    .input_s = between (a->input_s, b->input_s, share),
    .weight_s = between (a->weight_s, b->weight_s, share),
    .update_s = between (a->update_s, b->update_s, share),
    .workspace_bytes
    = (int64_t)ceil (between ((double)a->workspace_bytes, (double)b->workspace_bytes, share)),
  };
}
