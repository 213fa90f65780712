/* A pipeline of the library is a plan like any other: its arguments become the plan's JSON, so that
 * the plan's reader checks them, and resolving and running are the same as the program's. */
#include "pipewright/pipeline_private.h"
#include "schedules/lower.h"

GQuark
pw_pipeline_error_quark (void) {
  return g_quark_from_static_string ("pw-pipeline-error-quark");
}

static gboolean
refuse (GError **error, const char *message) {
  g_set_error_literal (error, PW_PIPELINE_ERROR, PW_PIPELINE_ERROR_VALUE, message);
  return FALSE;
}

static gboolean
check_arguments (const PwSequential *model, int stages, int chunks,
                 const PwPipelineOptions *options, GError **error) {
  if (model->error) {
    if (error)
      *error = g_error_copy (model->error);
    return FALSE;
  }
  if (stages < 1)
    return refuse (error, "stages: must be at least 1");
  if (chunks < 1)
    return refuse (error, "chunks: must be at least 1");
  if (options->loss && !g_str_equal (options->loss, "mse") &&
      !g_str_equal (options->loss, "cross_entropy"))
    return refuse (error, "loss: must be \"mse\" or \"cross_entropy\"");
  return TRUE;
}

static json_t *
optimizer_to_json (const PwPipelineOptions *options) {
  static const char *const names[] = { [PW_PIPELINE_SGD] = "sgd",
                                       [PW_PIPELINE_ADAM] = "adam",
                                       [PW_PIPELINE_ADAMW] = "adamw" };
  gboolean is_sgd = options->optimizer == PW_PIPELINE_SGD;
  double rate = options->learning_rate > 0 ? options->learning_rate : is_sgd ? 0.01 : 0.001;
  json_t *optimizer = json_pack ("{s:s, s:f, s:f}", "name", names[options->optimizer],
                                 "learning_rate", rate, "weight_decay", options->weight_decay);
  if (is_sgd)
    json_object_set_new (optimizer, "momentum", json_real (options->momentum));
  return optimizer;
}

static json_t *
partition_to_json (const int *balance, int stages) {
  if (!balance)
    return json_pack ("{s:s}", "method", "flops");
  json_t *counts = json_array ();
  for (int i = 0; i < stages; i++)
    json_array_append_new (counts, json_integer (balance[i]));
  return json_pack ("{s:o}", "balance", counts);
}

/* The sequential reference is the plan on one rank, one micro-batch after another. */
static PwPlan *
make_plan (const PwSequential *model, const int *balance, int stages, int chunks,
           const PwPipelineOptions *options, GError **error) {
  const char *schedule = options->schedule ? options->schedule : "1f1b";
  if (options->sequential) {
    schedule = "naive";
    balance = NULL;
    stages = 1;
  }
  json_t *plan = json_pack (
      "{s:{s:O, s:s}, s:i, s:o, s:{s:s, s:i}, s:i, s:I, s:o}", "model", "layers", model->layers,
      "loss", "none", "ranks", stages, "partition", partition_to_json (balance, stages), "schedule",
      "name", schedule, "microbatches", chunks, "batch", chunks, "seed",
      (json_int_t) (options->seed & G_MAXINT64), "optimizer", optimizer_to_json (options));
  char *text = json_dumps (plan, JSON_COMPACT);
  json_decref (plan);
  PwPlan *parsed = pw_plan_parse ("pipeline", text, error);
  free (text); /* jansson's, not GLib's */
  return parsed;
}

static void
lists_free (gpointer data) {
  PwPipelineLists *lists = data;
  pw_schedule_free (lists->whole);
  pw_schedule_free (lists->forward);
  pw_schedule_free (lists->backward);
  g_free (lists);
}

PwPipeline *
pw_pipeline_new (const PwSequential *model, const int *balance, int stages, int chunks,
                 const PwPipelineOptions *options, GError **error) {
  static const PwPipelineOptions defaults = { 0 };
  if (!options)
    options = &defaults;
  if (!check_arguments (model, stages, chunks, options, error))
    return NULL;

  g_autoptr (PwPipeline) pipeline = g_new0 (PwPipeline, 1);
  pipeline->chunks = chunks;
  pipeline->is_cross_entropy = options->loss && g_str_equal (options->loss, "cross_entropy");
  pipeline->lists = g_ptr_array_new_with_free_func (lists_free);
  pipeline->plan = make_plan (model, balance, stages, chunks, options, error);
  if (!pipeline->plan)
    return NULL;
  PwResolveOptions resolve = { .mode = PW_MODE_TRAINING, .updates = FALSE };
  pipeline->resolved = pw_plan_resolve (pipeline->plan, &resolve, error);
  if (!pipeline->resolved)
    return NULL;
  if (!pipeline->resolved->compute->promise.synchronous) {
    refuse (error, "schedule: an asynchronous one updates within its lists, not in "
                   "pw_optimizer_step");
    return NULL;
  }
  PwExecOptions exec = { .no_pinning = options->no_pinning };
  pipeline->exec = pw_exec_new (pipeline->resolved, &exec, error);
  pipeline->loss_stream = pw_backend_cpu.stream_new (0, error);
  if (!pipeline->exec || !pipeline->loss_stream)
    return NULL;
  return g_steal_pointer (&pipeline);
}

void
pw_pipeline_free (PwPipeline *pipeline) {
  if (!pipeline)
    return;
  pw_exec_free (pipeline->exec);
  if (pipeline->loss_stream)
    pw_backend_cpu.stream_free (pipeline->loss_stream);
  if (pipeline->lists)
    g_ptr_array_unref (pipeline->lists);
  pw_resolved_plan_free (pipeline->resolved);
  pw_layer_costs_free (pipeline->costs);
  pw_plan_free (pipeline->plan);
  g_free (pipeline);
}

int64_t *
pw__pipeline_cut (const PwPipeline *pipeline, int64_t samples, int *microbatches) {
  int64_t size = (samples + pipeline->chunks - 1) / pipeline->chunks;
  *microbatches = (int) ((samples + size - 1) / size);
  return pw_plan_cut_batch (samples, *microbatches, NULL);
}

/* LOWERED without the actions of the other half; a forward's stashes wait for the backward. */
static PwSchedule *
half (const PwSchedule *lowered, gboolean is_forward) {
  PwSchedule *schedule = pw_schedule_new (lowered->name, pw_placement_copy (lowered->placement),
                                          lowered->microbatches);
  schedule->is_lowered = TRUE;
  schedule->mode = PW_MODE_TRAINING;
  schedule->policy = lowered->policy;
  schedule->promise = lowered->promise;
  schedule->direction = g_memdup2 (lowered->direction, (gsize) lowered->microbatches);
  for (int rank = 0; rank < lowered->ranks; rank++) {
    const PwProgram *program = &lowered->programs[rank];
    PwAction *actions = g_new (PwAction, (gsize) program->n_prologue);
    int64_t n = 0;
    for (int64_t i = 0; i < program->n_prologue; i++) {
      PwActionKind kind = program->actions[i].kind;
      gboolean belongs_to_forward = kind == PW_ACTION_FORWARD || kind == PW_ACTION_SEND_FORWARD ||
                                    kind == PW_ACTION_RECV_FORWARD;
      if (belongs_to_forward == is_forward)
        actions[n++] = program->actions[i];
    }
    pw_schedule_take_list (schedule, rank, actions, n);
  }
  return schedule;
}

static PwSchedule *
lower (const PwPipeline *pipeline, const char *name, int microbatches, GError **error) {
  PwScheduleParams params = pipeline->plan->params;
  params.ranks = pipeline->plan->ranks;
  params.microbatches = microbatches;
  g_autoptr (PwSchedule) compute = pw_schedule_generate (name, &params, error);
  if (!compute)
    return NULL;
  PwLowerOptions options = { .policy = pipeline->plan->policy };
  return pw_schedule_lower (compute, pipeline->resolved->edges, &options, error);
}

PwPipelineLists *
pw__pipeline_lists (PwPipeline *pipeline, int microbatches, GError **error) {
  for (guint i = 0; i < pipeline->lists->len; i++) {
    PwPipelineLists *lists = g_ptr_array_index (pipeline->lists, i);
    if (lists->microbatches == microbatches)
      return lists;
  }
  PwPipelineLists *lists = g_new0 (PwPipelineLists, 1);
  lists->microbatches = microbatches;
  /* The executor borrows the lists, so they live as long as the pipeline even after a failure. */
  g_ptr_array_add (pipeline->lists, lists);

  lists->whole = lower (pipeline, pipeline->plan->schedule, microbatches, error);
  if (!lists->whole)
    return NULL;
  g_autoptr (PwSchedule) gpipe = lower (pipeline, "gpipe", microbatches, error);
  if (!gpipe)
    return NULL;
  /* Two directions have a placement of their own. */
  const PwSchedule *halved = lists->whole->placement->directions == 2 ? lists->whole : gpipe;
  lists->forward = half (halved, TRUE);
  lists->backward = half (halved, FALSE);
  lists->whole_program = pw_exec_add (pipeline->exec, lists->whole, error);
  if (lists->whole_program < 0)
    return NULL;
  lists->forward_program = pw_exec_add (pipeline->exec, lists->forward, error);
  if (lists->forward_program < 0)
    return NULL;
  lists->backward_program = pw_exec_add (pipeline->exec, lists->backward, error);
  return lists->backward_program < 0 ? NULL : lists;
}

const PwShape *
pw__pipeline_output (const PwPipeline *pipeline) {
  const PwGraph *graph = pipeline->resolved->graph;
  return &graph->layers[graph->n_layers - 1].info.output;
}

int64_t
pw_pipeline_input_elements (const PwPipeline *pipeline) {
  return pw_shape_elements (&pipeline->resolved->graph->input);
}

int64_t
pw_pipeline_output_elements (const PwPipeline *pipeline) {
  return pw_shape_elements (pw__pipeline_output (pipeline));
}

int64_t
pw_pipeline_parameter_count (const PwPipeline *pipeline) {
  return pw_graph_parameters (pipeline->resolved->graph, 0, pipeline->resolved->graph->n_layers);
}
