/* Compute actions: a script over the buffers of one micro-batch. */
#include "exec/exec_private.h"

static const char *const phase_names[] = {
  [PW_PHASE_FORWARD] = "forward",
  [PW_PHASE_INPUT] = "input gradient",
  [PW_PHASE_WEIGHT] = "weight gradient",
};

/* An op's error becomes the executor's: which layer, which rank. */
static gboolean
wrap_error (const PwWorker *worker, const PwLayer *layer, PwPhase phase, GError *op,
            GError **error) {
  if (op->domain == PW_EXEC_ERROR) {
    g_propagate_error (error, op);
    return FALSE;
  }
  g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_KERNEL, "rank %d, layer %s, %s: %s",
               worker->rank, layer->name, phase_names[phase], op->message);
  g_error_free (op);
  return FALSE;
}

static void *
data_of (const PwSlot *slots, int buffer) {
  return buffer >= 0 ? slots[buffer].data : NULL;
}

static void
bind (PwLayerCall *call, const PwLayerBinding *binding, const PwSlot *slots,
      const PwParameter *parameters, void *const *values) {
  const PwLayer *layer = call->layer;
  for (int p = 0; p < layer->info.n_parameters; p++)
    call->parameters[p].data = values ? values[p] : parameters[p].value.data;
  for (int k = 0; k < layer->n_inputs; k++) {
    call->inputs[k].data = data_of (slots, binding->inputs[k]);
    call->input_gradients[k].data = data_of (slots, binding->input_gradients[k]);
  }
  for (int s = 0; s < layer->info.n_stashes; s++)
    call->stashes[s].data = data_of (slots, binding->stashes[s]);
  call->output.data = data_of (slots, binding->output);
  call->output_gradient.data = data_of (slots, binding->output_gradient);
}

/* Loss layers read the targets where the caller has them if the backend can. */
static gboolean
bind_loss (PwWorker *worker, const PwStep *step, PwLayerCall *call, GError **error) {
  PwExec *exec = worker->exec;
  PwMicrobatch *microbatch = step->microbatch;
  const PwGraph *graph = exec->resolved->graph;
  int64_t bytes_per_sample = pw_shape_bytes (&graph->target);
  const char *from = microbatch->minibatch->batch->targets;
  if (!from) {
    g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_DATA, "layer %s needs targets",
                 call->layer->name);
    return FALSE;
  }
  from += exec->run.first_sample[microbatch->index] * bytes_per_sample;
  call->loss = &step->stage->losses[microbatch->loss_at];
  call->loss_scale
      = microbatch->minibatch->loss_scales[exec->run.program->group[microbatch->index]];
  call->targets.data = (void *)from;
  if (exec->is_host_memory)
    return TRUE;
  int64_t bytes = microbatch->samples * bytes_per_sample;
  if (!microbatch->targets) {
    microbatch->targets = pw__buffer_take (worker, PW_MEMORY_BOUNDARY, bytes, error);
    if (!microbatch->targets
        || !exec->backend->copy_from_host (worker->context.stream, microbatch->targets, from,
                                           (gsize)bytes, error))
      return FALSE;
  }
  call->targets.data = microbatch->targets;
  return TRUE;
}

/* Later contributions to a gradient go to a temporary first, which is then added. */
static gboolean
take_temporaries (PwWorker *worker, PwLayerCall *call, const PwLayerBinding *binding,
                  GError **error) {
  for (int k = 0; k < call->layer->n_inputs; k++) {
    if (binding->input_gradients[k] < 0 || binding->is_first[k])
      continue;
    call->input_gradients[k].data = pw__buffer_take (
        worker, PW_MEMORY_STASH, pw_tensor_bytes (&call->input_gradients[k]), error);
    if (!call->input_gradients[k].data)
      return FALSE;
  }
  return TRUE;
}

static gboolean
add_temporaries (PwWorker *worker, PwLayerCall *call, const PwLayerBinding *binding,
                 const PwSlot *slots, GError **error) {
  const PwOps *ops = &worker->context.backend->ops;
  for (int k = 0; k < call->layer->n_inputs; k++) {
    if (binding->input_gradients[k] < 0 || binding->is_first[k])
      continue;
    PwTensor *more = &call->input_gradients[k];
    PwTensor sum = *more;
    sum.data = slots[binding->input_gradients[k]].data;
    if (!ops->add (&worker->context, &sum, more, &sum, error))
      return FALSE;
    pw__memory_give (worker->memory, PW_MEMORY_STASH, more->data, pw_tensor_bytes (more));
  }
  return TRUE;
}

static PwLayerCall *
bind_layer (PwWorker *worker, const PwStep *step, const PwWalk *walk, const PwVersion *version,
            const PwSlot *slots, int i) {
  const PwExecStage *stage = step->stage;
  PwLayerCall *call = &step->microbatch->calls[i];
  bind (call, &walk->bindings[i], slots, stage->parameters[i], version ? version->values[i] : NULL);
  call->bias_is_done = walk->bindings[i].bias_is_done;
  call->workspace = worker->workspace;
  call->first_sample = worker->exec->run.first_sample[step->microbatch->index];
  call->is_training = worker->exec->run.program->is_training;
  return call;
}

static gboolean
run_two_layers (PwWorker *worker, const PwStep *step, const PwWalk *walk, const PwVersion *version,
                const PwSlot *slots, int i, PwPhase phase, GError **error) {
  worker->context.layer = step->stage->first_layer + i;
  PwLayerCall *linear = bind_layer (worker, step, walk, version, slots, i);
  PwLayerCall *gelu = bind_layer (worker, step, walk, version, slots, i + 1);
  return phase == PW_PHASE_FORWARD ? pw_layer_linear_gelu_forward (linear, gelu, error)
                                   : pw_layer_gelu_bias_gradient (linear, gelu, error);
}

static gboolean
run_layer (PwWorker *worker, const PwStep *step, const PwWalk *walk, const PwVersion *version,
           const PwSlot *slots, int i, PwPhase phase, GError **error) {
  PwExecStage *stage = step->stage;
  const PwLayerRunner *runner = stage->runners[i];
  const PwLayerBinding *binding = &walk->bindings[i];
  worker->context.layer = stage->first_layer + i;
  PwLayerCall *call = bind_layer (worker, step, walk, version, slots, i);
  if (call->layer->info.is_loss && !bind_loss (worker, step, call, error))
    return FALSE;
  if (phase == PW_PHASE_FORWARD)
    return runner->forward (call, error);
  if (phase == PW_PHASE_WEIGHT)
    return runner->weight_gradient (call, error);
  return take_temporaries (worker, call, binding, error) && runner->input_gradient (call, error)
         && add_temporaries (worker, call, binding, slots, error);
}

static void
call_loss (PwExec *exec, PwMicrobatch *microbatch, const PwTensor *output, PwTensor *gradient) {
  const PwExecBatch *batch = microbatch->minibatch->batch;
  pthread_mutex_lock (&exec->loss_mutex);
  batch->loss_func (microbatch->index, output, gradient, &microbatch->user_loss, batch->loss_data);
  pthread_mutex_unlock (&exec->loss_mutex);
}

/* The caller computes on the host, so here it has to wait for the device. */
static gboolean
call_loss_with_copies (PwWorker *worker, PwMicrobatch *microbatch, const PwTensor *output,
                       const PwTensor *gradient, GError **error) {
  const PwBackend *backend = worker->exec->backend;
  PwStream *stream = worker->context.stream;
  gsize bytes = (gsize)pw_tensor_bytes (output);
  PwTensor here = *output, gradient_here = *gradient;
  g_autofree void *memory = here.data = g_malloc (bytes);
  g_autofree void *gradient_memory = gradient_here.data = g_malloc0 (bytes);
  if (!backend->copy_to_host (stream, memory, output->data, bytes, error)
      || !backend->stream_synchronize (stream, error))
    return FALSE;
  call_loss (worker->exec, microbatch, &here, &gradient_here);
  return backend->copy_from_host (stream, gradient->data, gradient_memory, bytes, error);
}

static gboolean
hand_result_out (PwWorker *worker, const PwStep *step, const PwSlot *slot, GError **error) {
  PwExec *exec = worker->exec;
  const PwGraph *graph = exec->resolved->graph;
  PwMicrobatch *microbatch = step->microbatch;
  const PwExecBatch *batch = microbatch->minibatch->batch;
  const PwShape *shape = &graph->layers[pw__result_layer (graph)].info.output;
  int64_t bytes_per_sample = pw_shape_bytes (shape);
  char *to = batch->outputs;
  if (to
      && !exec->backend->copy_to_host (
          worker->context.stream, to + exec->run.first_sample[microbatch->index] * bytes_per_sample,
          slot->data, (gsize)slot->bytes, error))
    return FALSE;
  int gradient = step->stage->caller_gradient;
  if (!exec->run.program->is_training || gradient < 0 || !batch->loss_func)
    return TRUE;
  PwSlot *written = &microbatch->slots[PW_WALK_TRAINING][gradient];
  if (!pw__slot_take (worker, written, PW_MEMORY_BOUNDARY, slot->bytes, 1, error))
    return FALSE;
  PwTensor output = pw__tensor (shape, microbatch->samples, slot->data);
  PwTensor output_gradient = pw__tensor (shape, microbatch->samples, written->data);
  if (exec->is_host_memory) {
    call_loss (exec, microbatch, &output, &output_gradient);
    return TRUE;
  }
  return call_loss_with_copies (worker, microbatch, &output, &output_gradient, error);
}

static gboolean
is_versioned (const PwWorker *worker) {
  const PwExecProgram *program = worker->exec->run.program;
  return program->is_training && !program->is_synchronous;
}

static PwVersionRule
version_rule (const PwWorker *worker) {
  return worker->exec->run.program->schedule->promise.version_rule;
}

static gboolean
run_script (PwWorker *worker, const PwStep *step, PwWalkKind kind, PwScriptKind script,
            GError **error) {
  const PwWalk *walk = &step->stage->walks[kind];
  PwSlot *slots = step->microbatch->slots[kind];
  const PwVersion *version
      = is_versioned (worker) ? pw__versions_find (step->stage, step->microbatch) : NULL;
  gboolean is_recompute = step->action.kind == PW_ACTION_RECOMPUTE;
  const PwInstruction *code = (const PwInstruction *)(void *)walk->scripts[script]->data;
  const PwInstruction *end = code + walk->scripts[script]->len;
  const PwLayerTimer *timer = worker->timer;
  double before = timer ? pw__now_s () : 0;
  uint64_t mark = PW_NO_MARK;
  for (; code < end; code++) {
    PwSlot *slot = &slots[code->index];
    gboolean good = TRUE;
    GError *op = NULL;
    switch (code->code) {
    case PW_CODE_ALLOC:
      good = pw__slot_take (worker, slot, PW_MEMORY_STASH,
                            step->microbatch->samples
                                * walk->lifetimes->buffers[code->index].bytes_per_sample,
                            1 + (is_recompute ? 0 : walk->n_edges[code->index]), error);
      break;
    case PW_CODE_FREE:
      pw__slot_release (worker, slot);
      break;
    case PW_CODE_RESULT:
      good = is_recompute || hand_result_out (worker, step, slot, error);
      break;
    case PW_CODE_RUN_TWO:
    case PW_CODE_RUN:
      if (timer && worker->marks && !pw__mark_begin (worker, PW_MARK_LAYER, &mark, error))
        return FALSE;
      if (code->code == PW_CODE_RUN_TWO
              ? !run_two_layers (worker, step, walk, version, slots, code->index, code->phase, &op)
              : !run_layer (worker, step, walk, version, slots, code->index, code->phase, &op))
        return wrap_error (worker, step->microbatch->calls[code->index].layer, code->phase, op,
                           error);
      if (timer && worker->marks)
        good = pw__mark_end_layer (worker, mark, step->stage->first_layer + code->index,
                                   code->phase, error);
      else if (timer) {
        double now = pw__now_s ();
        timer->add (timer->data, step->stage->first_layer + code->index, code->phase, now - before);
        before = now;
      }
      break;
    }
    if (!good)
      return FALSE;
  }
  return TRUE;
}

static gboolean
check_phase (const PwStep *step, PwMicrobatchPhase wanted, const char *message, GError **error) {
  if (step->microbatch->phase == wanted)
    return TRUE;
  g_set_error_literal (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED, message);
  return FALSE;
}

static gboolean
forward (PwWorker *worker, const PwStep *step, double *start, GError **error) {
  PwMicrobatch *microbatch = step->microbatch;
  gboolean is_training = worker->exec->run.program->is_training;
  if (!check_phase (step, PW_MICROBATCH_EMPTY, "it has run before", error)
      || !pw__gather_inputs (worker, step, error))
    return FALSE;
  microbatch->forward_walk = step->walk;
  if (is_versioned (worker))
    pw__versions_use (step->stage, step, version_rule (worker));
  if (!pw__note_start (worker, start, error)
      || !run_script (worker, step, step->walk, PW_SCRIPT_FORWARD, error))
    return FALSE;
  microbatch->phase = is_training ? PW_MICROBATCH_FORWARDED : PW_MICROBATCH_EMPTY;
  return TRUE;
}

/* R begins with what its F has left. A tensor that was sent stays where its messages look for it,
 * and is borrowed. */
static void
take_what_was_kept (const PwStep *step) {
  const PwLifetimes *from = step->stage->walks[PW_WALK_FIRST].lifetimes;
  const PwLifetimes *to = step->stage->walks[PW_WALK_TRAINING].lifetimes;
  PwSlot *first = step->microbatch->slots[PW_WALK_FIRST];
  PwSlot *training = step->microbatch->slots[PW_WALK_TRAINING];
  for (int b = 0; b < from->n_buffers; b++) {
    const PwBuffer *buffer = &from->buffers[b];
    if (!first[b].data || buffer->dies_fused.phase == PW_PHASE_FORWARD)
      continue;
    PwSlot *slot = &training[pw_lifetimes_find (to, buffer->kind, buffer->layer, buffer->index)];
    *slot = first[b];
    if (buffer->is_sent) {
      slot->owner = &first[b];
      slot->holders = 0;
    } else
      first[b] = (PwSlot){ 0 };
  }
}

static gboolean
recompute (PwWorker *worker, const PwStep *step, double *start, GError **error) {
  PwMicrobatch *microbatch = step->microbatch;
  if (!check_phase (step, PW_MICROBATCH_FORWARDED, "its forward has not run", error))
    return FALSE;
  if (!pw__note_start (worker, start, error))
    return FALSE;
  take_what_was_kept (step);
  microbatch->forward_walk = PW_WALK_TRAINING;
  return run_script (worker, step, PW_WALK_TRAINING, PW_SCRIPT_AGAIN, error);
}

static gboolean
backward (PwWorker *worker, const PwStep *step, PwScriptKind script, double *start,
          GError **error) {
  PwMicrobatch *microbatch = step->microbatch;
  if (!check_phase (step, PW_MICROBATCH_FORWARDED, "its forward has not run", error))
    return FALSE;
  if (microbatch->forward_walk != PW_WALK_TRAINING) {
    g_set_error_literal (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED,
                         "its recomputation has not run");
    return FALSE;
  }
  if (!pw__gather_gradients (worker, step, error) || !pw__note_start (worker, start, error)
      || !run_script (worker, step, PW_WALK_TRAINING, script, error))
    return FALSE;
  microbatch->phase = script == PW_SCRIPT_INPUT ? PW_MICROBATCH_INPUT_DONE : PW_MICROBATCH_EMPTY;
  pw__microbatch_drop_targets (worker, microbatch);
  return TRUE;
}

static gboolean
weight_gradient (PwWorker *worker, const PwStep *step, double *start, GError **error) {
  if (!check_phase (step, PW_MICROBATCH_INPUT_DONE, "its input gradient has not run", error))
    return FALSE;
  if (!pw__note_start (worker, start, error)
      || !run_script (worker, step, PW_WALK_TRAINING, PW_SCRIPT_WEIGHT, error))
    return FALSE;
  step->microbatch->phase = PW_MICROBATCH_EMPTY;
  return TRUE;
}

static gboolean
update (PwWorker *worker, const PwStep *step, double *start, GError **error) {
  return pw__note_start (worker, start, error)
         && (!is_versioned (worker)
             || pw__versions_keep (worker, step->stage, version_rule (worker), error))
         && pw__stage_update (worker, step->stage, error);
}

static gboolean
run_action (PwWorker *worker, const PwStep *step, double *start, GError **error) {
  switch ((PwActionKind)step->action.kind) {
  case PW_ACTION_FORWARD:
    return forward (worker, step, start, error);
  case PW_ACTION_RECOMPUTE:
    return recompute (worker, step, start, error);
  case PW_ACTION_BACKWARD:
    return backward (worker, step, PW_SCRIPT_BACKWARD, start, error);
  case PW_ACTION_INPUT_GRADIENT:
    return backward (worker, step, PW_SCRIPT_INPUT, start, error);
  case PW_ACTION_WEIGHT_GRADIENT:
    return weight_gradient (worker, step, start, error);
  case PW_ACTION_UPDATE:
    return update (worker, step, start, error);
  default:
    g_assert_not_reached (); /* refused by program.c */
  }
}

gboolean
pw__compute (PwWorker *worker, const PwStep *step, double *start, GError **error) {
  const PwMicrobatch *microbatch = step->microbatch;
  worker->context.microbatch = microbatch ? microbatch->index : 0;
  worker->context.step = microbatch ? microbatch->step : worker->exec->run.step;
  if (!run_action (worker, step, start, error))
    return FALSE;
  if (step->ends_microbatch && is_versioned (worker))
    pw__versions_drop (worker, step->stage, microbatch, version_rule (worker));
  return TRUE;
}
