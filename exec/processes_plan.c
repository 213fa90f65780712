/* What all processes of a run must have alike, as one number: the model, who has which stage, the
 * order of the lists, what is learnt and how. */
#include "exec/processes_private.h"

static void
add_numbers (GChecksum *sum, const void *numbers, gsize n, gsize size) {
  if (n > 0)
    g_checksum_update (sum, numbers, (gssize)(n * size));
}

static void
G_GNUC_PRINTF (2, 3) add (GChecksum *sum, const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_checksum_update (sum, (const guchar *)text, (gssize)strlen (text) + 1);
}

static void
add_shape (GChecksum *sum, const PwShape *shape) {
  g_autofree char *text = pw_shape_to_string (shape);
  add (sum, "%s", text);
}

static void
add_layer (GChecksum *sum, const PwLayer *layer) {
  const PwLayerAttributes *a = &layer->attributes;
  add (sum, "%s %s %d %.17g %.17g", layer->name, layer->type->name, layer->shares_with, a->epsilon,
       a->probability);
  const int64_t sizes[]
      = { a->in, a->out, a->features, a->heads, a->vocabulary, a->positions, a->bias, a->causal };
  add_numbers (sum, sizes, G_N_ELEMENTS (sizes), sizeof *sizes);
  add_numbers (sum, layer->inputs, (gsize)layer->n_inputs, sizeof *layer->inputs);
  add_shape (sum, &layer->info.output);
  for (int p = 0; p < layer->info.n_parameters; p++) {
    const PwLayerParameter *parameter = &layer->info.parameters[p];
    add (sum, "%s %d %.17g", parameter->name, (int)parameter->init, parameter->scale);
    add_shape (sum, &parameter->shape);
  }
}

static void
add_lists (GChecksum *sum, const PwSchedule *schedule) {
  add (sum, "%s %d %d %d %d", schedule->name, (int)schedule->policy, (int)schedule->mode,
       schedule->microbatches, schedule->chunks);
  for (int r = 0; r < schedule->ranks; r++) {
    const PwProgram *program = &schedule->programs[r];
    const int64_t sizes[] = { program->n_prologue, program->n_body, program->n_epilogue,
                              program->repeats, program->shift };
    add_numbers (sum, sizes, G_N_ELEMENTS (sizes), sizeof *sizes);
    add_numbers (sum, program->actions,
                 (gsize)(program->n_prologue + program->n_body + program->n_epilogue),
                 sizeof (PwAction));
  }
}

void
pw__processes_digest (const PwExec *exec, guint8 digest[PW_DIGEST_BYTES]) {
  const PwResolvedPlan *plan = exec->resolved;
  const PwOptimizerPlan *o = &plan->optimizer;
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  gsize bytes = PW_DIGEST_BYTES;
  add (sum, "%s %s %d %d", exec->backend->name, exec->transport->name, exec->is_sequential,
       exec->options.cuda_graphs);
  for (int l = 0; l < plan->graph->n_layers; l++)
    add_layer (sum, &plan->graph->layers[l]);
  add_numbers (sum, plan->partition->bounds, (gsize)plan->partition->stages + 1, sizeof (int));
  add (sum, "%d %d", exec->placement->ranks, exec->placement->directions);
  add_numbers (sum, exec->placement->rank_of_stage, (gsize)exec->n_places, sizeof (int));
  for (int e = 0; e < plan->edges->n_edges; e++)
    add (sum, "%d %d %d", plan->edges->edges[e].producer, plan->edges->edges[e].consumer,
         plan->edges->edges[e].tensor);
  add_lists (sum, plan->lowered);
  add_numbers (sum, plan->samples, (gsize)plan->microbatches, sizeof *plan->samples);
  add (sum, "%" G_GINT64_FORMAT " %d %d %" G_GINT64_FORMAT, plan->batch, (int)plan->mode,
       (int)plan->precision, plan->seed);
  add (sum, "%d %.17g %.17g %.17g %.17g %.17g %.17g", (int)o->kind, o->learning_rate, o->momentum,
       o->beta1, o->beta2, o->epsilon, o->weight_decay);
  g_checksum_get_digest (sum, digest, &bytes);
}
