/* What a stage gets from and gives to other stages. A RECV allocates and posts; the wait belongs to
 * the compute action that reads. An edge inside the rank hands the buffer over, uncopied. */
#include "exec/exec_private.h"

static void
trace_message (PwWorker *worker, PwAction action, const PwMicrobatch *microbatch, int64_t bytes,
               double start, double end) {
  if (!worker->ring)
    return;
  PwTraceRecord record = { .action = action,
                           .rank = worker->rank,
                           .iteration = microbatch->iteration,
                           .bytes = bytes,
                           .start = start,
                           .end = end };
  pw__trace_ring_add (worker->ring, &record);
}

/* ---- Sending ---- */

/* Recycles a request that is done. */
static gboolean
finish_send (PwWorker *worker, const PwSendInFlight *send, GError **error) {
  PwExec *exec = worker->exec;
  if (!exec->transport->wait (exec->transport_state, worker->rank, send->request,
                              worker->context.stream, error))
    return FALSE;
  if (worker->ring)
    trace_message (worker, send->action, send->microbatch, send->slot->bytes, send->start,
                   pw__now_s ());
  pw__slot_drop (worker, send->slot);
  send->microbatch->n_sends--;
  return TRUE;
}

void
pw__poll_sends (PwWorker *worker) {
  PwExec *exec = worker->exec;
  guint kept = 0;
  for (guint i = 0; i < worker->sends->len; i++) {
    PwSendInFlight *sends = (PwSendInFlight *)(void *)worker->sends->data;
    if (!exec->transport->test (exec->transport_state, worker->rank, sends[i].request)
        || !finish_send (worker, &sends[i], NULL))
      sends[kept++] = sends[i];
  }
  g_array_set_size (worker->sends, kept);
}

gboolean
pw__finish_sends (PwWorker *worker, GError **error) {
  double start = pw__now_s ();
  for (guint i = 0; i < worker->sends->len; i++)
    if (!finish_send (worker, &g_array_index (worker->sends, PwSendInFlight, i), error))
      return FALSE;
  g_array_set_size (worker->sends, 0);
  worker->figures.wait_time += pw__now_s () - start;
  return TRUE;
}

gboolean
pw__finish_sends_of (PwWorker *worker, PwMicrobatch *microbatch, GError **error) {
  if (microbatch->n_sends == 0)
    return TRUE;
  double start = pw__now_s ();
  PwSendInFlight *sends = (PwSendInFlight *)(void *)worker->sends->data;
  guint kept = 0;
  gboolean good = TRUE;
  for (guint i = 0; i < worker->sends->len; i++) {
    if (good && sends[i].microbatch == microbatch)
      good = finish_send (worker, &sends[i], error);
    else
      sends[kept++] = sends[i];
  }
  g_array_set_size (worker->sends, kept);
  worker->figures.wait_time += pw__now_s () - start;
  return good;
}

static gboolean
set_missing_error (const PwStep *step, const char *what, GError **error) {
  char text[PW_ACTION_TEXT_MAX];
  g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED, "%s: %s",
               pw_action_format (step->action, text), what);
  return FALSE;
}

gboolean
pw__post_send (PwWorker *worker, const PwStep *step, GError **error) {
  PwExec *exec = worker->exec;
  PwMicrobatch *microbatch = step->microbatch;
  gboolean is_backward = step->action.kind == PW_ACTION_SEND_BACKWARD;
  PwWalkKind walk = is_backward ? PW_WALK_TRAINING : microbatch->forward_walk;
  const PwEdgeEnd *end = is_backward ? &step->stage->in[step->end] : &step->stage->out[step->end];
  int buffer = is_backward ? end->gradient : end->output[walk];
  if (buffer < 0)
    return TRUE; /* no gradient is made of this tensor; the other end knows it as well */
  PwSlot *slot = &microbatch->slots[walk][buffer];
  if (!slot->data)
    return set_missing_error (step, "what it sends was not computed before", error);
  PwSendInFlight send
      = { .microbatch = microbatch, .slot = slot, .action = step->action, .start = pw__now_s () };
  PwChannel channel
      = { .edge = end->edge, .is_backward = is_backward, .direction = step->stage->direction };
  send.request = exec->transport->post_send (exec->transport_state, worker->rank, channel,
                                             slot->data, (gsize)slot->bytes, NULL, error);
  if (!send.request)
    return FALSE;
  g_array_append_val (worker->sends, send);
  microbatch->n_sends++;
  return !pw_policies[exec->run.program->schedule->policy].blocks_program
         || pw__finish_sends (worker, error);
}

/* ---- Receiving ---- */

static gboolean
wait_receive (PwWorker *worker, const PwStep *step, PwAction action, PwRequest **request,
              int64_t bytes, double posted, GError **error) {
  PwExec *exec = worker->exec;
  double start = pw__now_s ();
  PwRequest *waited_for = g_steal_pointer (request);
  if (!exec->transport->wait (exec->transport_state, worker->rank, waited_for,
                              worker->context.stream, error))
    return FALSE;
  double end = pw__now_s ();
  worker->figures.wait_time += end - start;
  trace_message (worker, action, step->microbatch, bytes, posted, end);
  return TRUE;
}

static PwAction
receive_action (const PwStep *step, PwActionKind kind, int edge) {
  PwAction action = step->action;
  action.kind = (uint32_t)kind & 31u;
  action.edge = (uint16_t)edge;
  action.paired = action.grouped = 0;
  return action;
}

static PwRequest *
post (PwWorker *worker, const PwStep *step, int edge, gboolean is_backward, void *data,
      int64_t bytes, GError **error) {
  PwExec *exec = worker->exec;
  PwChannel channel
      = { .edge = edge, .is_backward = is_backward, .direction = step->stage->direction };
  return exec->transport->post_recv (exec->transport_state, worker->rank, channel, data,
                                     (gsize)bytes, NULL, error);
}

static gboolean
post_recv_forward (PwWorker *worker, const PwStep *step, GError **error) {
  const PwEdgeEnd *end = &step->stage->in[step->end];
  int buffer = end->output[step->walk];
  PwSlot *slot = &step->microbatch->slots[step->walk][buffer];
  int64_t bytes = step->microbatch->samples
                  * step->stage->walks[step->walk].lifetimes->buffers[buffer].bytes_per_sample;
  if (slot->data)
    return set_missing_error (step, "its buffer is still in use", error);
  if (!pw__slot_take (worker, slot, PW_MEMORY_BOUNDARY, bytes, 1, error))
    return FALSE;
  slot->posted = worker->ring ? pw__now_s () : 0;
  slot->request = post (worker, step, end->edge, FALSE, slot->data, bytes, error);
  return slot->request != NULL;
}

static gboolean
post_recv_backward (PwWorker *worker, const PwStep *step, GError **error) {
  const PwEdgeEnd *end = &step->stage->out[step->end];
  PwPart *part = &step->microbatch->parts[step->end];
  if (end->gradient < 0)
    return TRUE;
  if (part->data)
    return set_missing_error (step, "its buffer is still in use", error);
  const PwLifetimes *lifetimes = step->stage->walks[PW_WALK_TRAINING].lifetimes;
  part->bytes = step->microbatch->samples * lifetimes->buffers[end->gradient].bytes_per_sample;
  part->data = pw__buffer_take (worker, PW_MEMORY_BOUNDARY, part->bytes, error);
  if (!part->data)
    return FALSE;
  part->posted = worker->ring ? pw__now_s () : 0;
  part->request = post (worker, step, end->edge, TRUE, part->data, part->bytes, error);
  return part->request != NULL;
}

static gboolean
wait_part (PwWorker *worker, const PwStep *step, const PwEdgeEnd *end, PwPart *part,
           GError **error) {
  return !part->request
         || wait_receive (worker, step, receive_action (step, PW_ACTION_RECV_BACKWARD, end->edge),
                          &part->request, part->bytes, part->posted, error);
}

static gboolean
wait_slot (PwWorker *worker, const PwStep *step, const PwEdgeEnd *end, PwSlot *slot,
           GError **error) {
  return !slot->request
         || wait_receive (worker, step, receive_action (step, PW_ACTION_RECV_FORWARD, end->edge),
                          &slot->request, slot->bytes, slot->posted, error);
}

gboolean
pw__post_recv (PwWorker *worker, const PwStep *step, GError **error) {
  gboolean is_backward = step->action.kind == PW_ACTION_RECV_BACKWARD;
  if (!(is_backward ? post_recv_backward (worker, step, error)
                    : post_recv_forward (worker, step, error)))
    return FALSE;
  if (!pw_policies[worker->exec->run.program->schedule->policy].blocks_program)
    return TRUE;
  if (is_backward)
    return wait_part (worker, step, &step->stage->out[step->end],
                      &step->microbatch->parts[step->end], error);
  const PwEdgeEnd *end = &step->stage->in[step->end];
  return wait_slot (worker, step, end,
                    &step->microbatch->slots[step->walk][end->output[step->walk]], error);
}

/* ---- Gathering ---- */

static gboolean
load_sample (PwWorker *worker, const PwStep *step, GError **error) {
  const PwExec *exec = worker->exec;
  const PwWalk *walk = &step->stage->walks[step->walk];
  PwMicrobatch *microbatch = step->microbatch;
  if (walk->sample < 0)
    return TRUE;
  PwSlot *slot = &microbatch->slots[step->walk][walk->sample];
  int64_t bytes_per_sample = pw_shape_bytes (&exec->resolved->graph->input);
  const char *from = microbatch->minibatch->batch->inputs;
  from += exec->run.first_sample[microbatch->index] * bytes_per_sample;
  if (!pw__slot_take (worker, slot, PW_MEMORY_BOUNDARY, microbatch->samples * bytes_per_sample, 1,
                      error))
    return FALSE;
  return exec->backend->copy_from_host (worker->context.stream, slot->data, from,
                                        (gsize)slot->bytes, error);
}

static PwMicrobatch *
peer_microbatch (const PwStep *step, const PwEdgeEnd *end) {
  return g_ptr_array_index (end->peer->microbatches, step->microbatch->slot);
}

static gboolean
borrow_output (const PwStep *step, const PwEdgeEnd *end, PwSlot *slot, GError **error) {
  PwMicrobatch *producer = peer_microbatch (step, end);
  PwWalkKind walk = producer->forward_walk;
  PwSlot *from = &producer->slots[walk][end->peer->out[end->at_peer].output[walk]];
  if (!from->data)
    return set_missing_error (step, "the stage before it has not run", error);
  slot->data = from->data;
  slot->bytes = from->bytes;
  slot->owner = from;
  return TRUE;
}

gboolean
pw__gather_inputs (PwWorker *worker, const PwStep *step, GError **error) {
  if (!load_sample (worker, step, error))
    return FALSE;
  for (int i = 0; i < step->stage->n_in; i++) {
    const PwEdgeEnd *end = &step->stage->in[i];
    PwSlot *slot = &step->microbatch->slots[step->walk][end->output[step->walk]];
    if (end->is_local ? !borrow_output (step, end, slot, error)
                      : !wait_slot (worker, step, end, slot, error))
      return FALSE;
    if (!slot->data)
      return set_missing_error (step, "a RECV_F is missing before it", error);
  }
  return TRUE;
}

/* The gradient that a later stage on this rank made becomes the part; nothing is copied. */
static gboolean
take_over_gradient (const PwStep *step, const PwEdgeEnd *end, PwPart *part, GError **error) {
  PwMicrobatch *consumer = peer_microbatch (step, end);
  PwSlot *from = &consumer->slots[PW_WALK_TRAINING][end->peer->in[end->at_peer].gradient];
  if (!from->data || from->holders != 1)
    return set_missing_error (step, "the stage after it has not run its backward", error);
  part->data = g_steal_pointer (&from->data);
  part->bytes = from->bytes;
  from->holders = 0;
  return TRUE;
}

/* Parts come by consumer, last stage first. The first becomes the gradient, the others are added.
 */
static gboolean
add_part (PwWorker *worker, const PwStep *step, const PwEdgeEnd *end, PwPart *part,
          GError **error) {
  PwSlot *slot = &step->microbatch->slots[PW_WALK_TRAINING][end->gradient];
  if (!slot->data) {
    *slot = (PwSlot){
      .data = part->data, .bytes = part->bytes, .holders = 1, .category = PW_MEMORY_BOUNDARY
    };
    *part = (PwPart){ 0 };
    return TRUE;
  }
  const PwExec *exec = worker->exec;
  int tensor = exec->resolved->edges->edges[end->edge].tensor;
  const PwShape *shape = &exec->resolved->graph->layers[tensor].info.output;
  PwTensor sum = pw__tensor (shape, step->microbatch->samples, slot->data);
  PwTensor more = pw__tensor (shape, step->microbatch->samples, part->data);
  if (!exec->backend->ops.add (&worker->context, &sum, &more, &sum, error))
    return FALSE;
  pw__memory_give (worker->memory, PW_MEMORY_BOUNDARY, part->data, part->bytes);
  *part = (PwPart){ 0 };
  return TRUE;
}

static gboolean
load_caller_gradient (PwWorker *worker, const PwStep *step, GError **error) {
  const PwExec *exec = worker->exec;
  PwMicrobatch *microbatch = step->microbatch;
  if (step->stage->caller_gradient < 0)
    return TRUE;
  PwSlot *slot = &microbatch->slots[PW_WALK_TRAINING][step->stage->caller_gradient];
  if (slot->data)
    return TRUE; /* written by the loss function */
  const char *from = microbatch->minibatch->batch->output_gradients;
  if (!from)
    return set_missing_error (step, "neither a loss function nor output gradients were given",
                              error);
  const PwGraph *graph = exec->resolved->graph;
  int64_t bytes_per_sample = pw_shape_bytes (&graph->layers[graph->n_layers - 1].info.output);
  from += exec->run.first_sample[microbatch->index] * bytes_per_sample;
  if (!pw__slot_take (worker, slot, PW_MEMORY_BOUNDARY, microbatch->samples * bytes_per_sample, 1,
                      error))
    return FALSE;
  return exec->backend->copy_from_host (worker->context.stream, slot->data, from,
                                        (gsize)slot->bytes, error);
}

gboolean
pw__gather_gradients (PwWorker *worker, const PwStep *step, GError **error) {
  if (!load_caller_gradient (worker, step, error))
    return FALSE;
  for (int i = 0; i < step->stage->n_out; i++) {
    const PwEdgeEnd *end = &step->stage->out[i];
    PwPart *part = &step->microbatch->parts[i];
    if (end->gradient < 0)
      continue;
    if (end->is_local ? !take_over_gradient (step, end, part, error)
                      : !wait_part (worker, step, end, part, error))
      return FALSE;
    if (!part->data)
      return set_missing_error (step, "a RECV_B is missing before it", error);
  }
  for (int i = 0; i < step->stage->n_out; i++)
    if (step->microbatch->parts[i].data
        && !add_part (worker, step, &step->stage->out[i], &step->microbatch->parts[i], error))
      return FALSE;
  return TRUE;
}
