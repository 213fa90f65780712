/* What a stage gets from and gives to other stages. A RECV allocates and posts; the wait belongs to
 * the compute action that reads. An edge inside the rank hands the buffer over, uncopied. */
#include "exec/exec_private.h"

static void
trace_message (PwWorker *worker, PwAction action, const PwMicrobatch *microbatch, int64_t bytes,
               double start, double end) {
  if (!worker->ring || worker->marks)
    return; /* or a mark knows */
  PwTraceRecord record = { .action = action,
                           .rank = worker->rank,
                           .iteration = microbatch->iteration,
                           .bytes = bytes,
                           .start = start,
                           .end = end };
  pw__trace_ring_add (worker->ring, &record);
}

/* On a device: an event after what the buffer is used for now, and the message's mark. */
static gboolean
note_message (PwWorker *worker, PwAction action, const PwMicrobatch *microbatch, int64_t bytes,
              PwEvent **event, uint64_t *mark, GError **error) {
  return pw__marks_record (worker, event, error)
         && pw__mark_message (worker, action, microbatch, bytes, mark, error);
}

static void
note_message_done (PwWorker *worker, PwEvent *event, uint64_t mark) {
  pw__marks_give_event (worker, event);
  pw__mark_message_done (worker, mark);
}

/* ---- Sending ---- */

/* Recycles a request that is done. */
static gboolean
finish_send (PwWorker *worker, const PwSendInFlight *send, GError **error) {
  PwExec *exec = worker->exec;
  if (!exec->transport->wait (exec->transport_state, worker->rank, send->request,
                              worker->context.stream, error))
    return FALSE;
  if (worker->marks)
    note_message_done (worker, send->event, send->mark);
  if (worker->ring)
    trace_message (worker, send->action, send->microbatch, send->slot->bytes, send->start,
                   pw__now_s ());
  pw__slot_drop (worker, send->slot);
  send->microbatch->n_sends--;
  return TRUE;
}

gboolean
pw__finish_oldest_send (PwWorker *worker, GError **error) {
  if (worker->sends->len == 0
      || !finish_send (worker, &g_array_index (worker->sends, PwSendInFlight, 0), error))
    return FALSE;
  g_array_remove_index (worker->sends, 0);
  return TRUE;
}

/* A look at a device costs a microsecond, and with the host far ahead there are many sends. */
static void
poll_oldest (PwWorker *worker) {
  const PwExec *exec = worker->exec;
  while (worker->sends->len > 0
         && exec->transport->test (exec->transport_state, worker->rank,
                                   g_array_index (worker->sends, PwSendInFlight, 0).request)
         && pw__finish_oldest_send (worker, NULL))
    continue;
}

void
pw__poll_sends (PwWorker *worker) {
  PwExec *exec = worker->exec;
  guint kept = 0;
  if (worker->marks) {
    poll_oldest (worker);
    return;
  }
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
  if (worker->sends->len == 0)
    return TRUE;
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

/* The gradient of the edge is there, so its consumer had the output: where work is only enqueued,
 * no stream waits when the buffer is given back here. */
static gboolean
finish_answered_send (PwWorker *worker, const PwMicrobatch *microbatch, int edge, GError **error) {
  for (guint i = 0; i < worker->sends->len; i++) {
    const PwSendInFlight *send = &g_array_index (worker->sends, PwSendInFlight, i);
    if (send->microbatch != microbatch || send->action.kind != PW_ACTION_SEND_FORWARD
        || send->action.edge != edge)
      continue;
    if (!finish_send (worker, send, error))
      return FALSE;
    g_array_remove_index (worker->sends, i);
    return TRUE;
  }
  return TRUE;
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
  send.action.edge = (uint16_t)end->edge;
  if (worker->marks
      && !note_message (worker, send.action, microbatch, slot->bytes, &send.event, &send.mark,
                        error))
    return FALSE;
  send.request = exec->transport->post_send (exec->transport_state, worker->rank, channel,
                                             slot->data, (gsize)slot->bytes, send.event, error);
  if (!send.request)
    return FALSE;
  g_array_append_val (worker->sends, send);
  microbatch->n_sends++;
  return TRUE;
}

/* ---- Receiving ---- */

static PwAction
receive_action (const PwStep *step, PwActionKind kind, int edge) {
  PwAction action = step->action;
  action.kind = (uint32_t)kind & 31u;
  action.edge = (uint16_t)edge;
  action.paired = action.grouped = 0;
  return action;
}

static gboolean
wait_receive (PwWorker *worker, const PwStep *step, PwAction action, PwReceive *receive,
              int64_t bytes, GError **error) {
  PwExec *exec = worker->exec;
  if (!receive->request)
    return TRUE;
  double start = pw__now_s ();
  PwRequest *waited_for = g_steal_pointer (&receive->request);
  if (!exec->transport->wait (exec->transport_state, worker->rank, waited_for,
                              worker->context.stream, error))
    return FALSE;
  double end = pw__now_s ();
  worker->figures.wait_time += end - start;
  if (worker->marks)
    note_message_done (worker, receive->event, receive->mark);
  trace_message (worker, action, step->microbatch, bytes, receive->posted, end);
  return TRUE;
}

static gboolean
wait_part (PwWorker *worker, const PwStep *step, const PwEdgeEnd *end, PwPart *part,
           GError **error) {
  return wait_receive (worker, step, receive_action (step, PW_ACTION_RECV_BACKWARD, end->edge),
                       &part->receive, part->bytes, error);
}

static gboolean
wait_slot (PwWorker *worker, const PwStep *step, const PwEdgeEnd *end, PwSlot *slot,
           GError **error) {
  return wait_receive (worker, step, receive_action (step, PW_ACTION_RECV_FORWARD, end->edge),
                       &slot->receive, slot->bytes, error);
}

static gboolean
post (PwWorker *worker, const PwStep *step, int edge, gboolean is_backward, void *data,
      int64_t bytes, PwReceive *receive, GError **error) {
  PwExec *exec = worker->exec;
  PwChannel channel
      = { .edge = edge, .is_backward = is_backward, .direction = step->stage->direction };
  receive->event = NULL;
  receive->posted = worker->ring ? pw__now_s () : 0;
  if (worker->marks) {
    PwAction action = receive_action (
        step, is_backward ? PW_ACTION_RECV_BACKWARD : PW_ACTION_RECV_FORWARD, edge);
    if (!note_message (worker, action, step->microbatch, bytes, &receive->event, &receive->mark,
                       error))
      return FALSE;
  }
  receive->request = exec->transport->post_recv (exec->transport_state, worker->rank, channel, data,
                                                 (gsize)bytes, receive->event, error);
  return receive->request != NULL;
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
  return pw__slot_take (worker, slot, PW_MEMORY_BOUNDARY, bytes, 1, error)
         && post (worker, step, end->edge, FALSE, slot->data, bytes, &slot->receive, error);
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
  return part->data
         && post (worker, step, end->edge, TRUE, part->data, part->bytes, &part->receive, error);
}

gboolean
pw__post_recv (PwWorker *worker, const PwStep *step, GError **error) {
  if (step->action.grouped || worker->in_group)
    g_array_append_val (worker->group, *step);
  return step->action.kind == PW_ACTION_RECV_BACKWARD ? post_recv_backward (worker, step, error)
                                                      : post_recv_forward (worker, step, error);
}

static gboolean
wait_for_step (PwWorker *worker, const PwStep *step, GError **error) {
  const PwEdgeEnd *end;
  switch ((PwActionKind)step->action.kind) {
  case PW_ACTION_RECV_FORWARD:
    end = &step->stage->in[step->end];
    return wait_slot (worker, step, end,
                      &step->microbatch->slots[step->walk][end->output[step->walk]], error);
  case PW_ACTION_RECV_BACKWARD:
    end = &step->stage->out[step->end];
    return wait_part (worker, step, end, &step->microbatch->parts[step->end], error);
  default:
    return TRUE;
  }
}

gboolean
pw__block_program (PwWorker *worker, const PwStep *step, GError **error) {
  for (guint i = 0; i < worker->group->len; i++)
    if (!wait_for_step (worker, &g_array_index (worker->group, PwStep, i), error))
      return FALSE;
  g_array_set_size (worker->group, 0);
  return wait_for_step (worker, step, error) && pw__finish_sends (worker, error);
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
    if (end->is_local
            ? !take_over_gradient (step, end, part, error)
            : !(wait_part (worker, step, end, part, error)
                && (!worker->marks
                    || finish_answered_send (worker, step->microbatch, end->edge, error))))
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
