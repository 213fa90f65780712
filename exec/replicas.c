/* Two replicas of a stage, one per direction: each accumulates the gradients of its own direction's
 * micro-batches, and before U their sum, direction 0's plus direction 1's, becomes the gradient of
 * both. Two ranks exchange pieces, so that a fixed buffer will do for tensors of any size:
 *
 *   rank of direction 0                    rank of direction 1
 *   sends own piece, receives other's      sends own piece, receives other's
 *   own = own + other                      own = other + own
 *
 * Both then take the same step from the same values, and stay equal to the bit. */
#include "exec/exec_private.h"
#include "plans/collective.h"

#define PIECE_ELEMENTS (PW_COLLECTIVE_PIECE_BYTES / (int64_t)sizeof (float))

gboolean
pw__stage_is_folded (const PwExecStage *stage) {
  return stage->replica != NULL && stage->replica->rank == stage->rank;
}

/* Both ends are one entry of their queues: no policy makes the two ranks wait for each other. */
static gboolean
exchange (PwWorker *worker, const PwExecStage *stage, PwTensor *piece, PwTensor *other,
          PwEvent *event, GError **error) {
  PwExec *exec = worker->exec;
  const PwTransport *transport = exec->transport;
  PwTransportState *state = exec->transport_state;
  gsize bytes = (gsize)pw_tensor_bytes (piece);
  PwChannel in
      = { .edge = stage->number, .is_replica = TRUE, .direction = stage->replica->direction };
  PwChannel out = { .edge = stage->number, .is_replica = TRUE, .direction = stage->direction };
  transport->group_begin (state, worker->rank);
  PwRequest *receive
      = transport->post_recv (state, worker->rank, in, other->data, bytes, event, error);
  PwRequest *send
      = receive ? transport->post_send (state, worker->rank, out, piece->data, bytes, event, error)
                : NULL;
  return transport->group_end (state, worker->rank, send ? error : NULL) && send
         && transport->wait (state, worker->rank, receive, worker->context.stream, error)
         && transport->wait (state, worker->rank, send, worker->context.stream, error);
}

/* PIECE of the worker's own gradients becomes the sum; OTHER receives the replica's. */
static gboolean
sum_piece (PwWorker *worker, const PwExecStage *stage, PwTensor *piece, PwTensor *other,
           GError **error) {
  const PwExec *exec = worker->exec;
  PwEvent *event;
  if (!pw__event_record (worker, &event, error)
      || !exchange (worker, stage, piece, other, event, error))
    return FALSE;
  pw__event_give (worker, event);
  gboolean is_first = stage->direction == 0;
  return exec->backend->ops.add (&worker->context, is_first ? piece : other,
                                 is_first ? other : piece, piece, error);
}

static gboolean
exchange_tensor (PwWorker *worker, const PwExecStage *stage, const PwTensor *gradient,
                 PwTensor *buffer, GError **error) {
  int64_t n = pw_tensor_elements (gradient);
  for (int64_t at = 0; at < n; at += PIECE_ELEMENTS) {
    PwTensor piece = { .data = (float *)gradient->data + at,
                       .element = gradient->element,
                       .n_dims = 1,
                       .dims = { MIN (PIECE_ELEMENTS, n - at) } };
    buffer->dims[0] = piece.dims[0];
    if (!sum_piece (worker, stage, &piece, buffer, error))
      return FALSE;
  }
  return TRUE;
}

static int64_t
largest_piece (const PwExecStage *stage, const PwGraph *graph) {
  int64_t largest = 0;
  for (int i = 0; i < stage->n_layers; i++)
    for (int p = 0; p < graph->layers[stage->first_layer + i].info.n_parameters; p++)
      largest = MAX (largest, pw_tensor_elements (&stage->parameters[i][p].gradient));
  return MIN (largest, PIECE_ELEMENTS);
}

/* With the replica on another rank. */
static gboolean
exchange_all (PwWorker *worker, PwExecStage *stage, GError **error) {
  const PwGraph *graph = worker->exec->resolved->graph;
  PwTensor buffer = { .element = PW_ELEMENT_F32, .n_dims = 1 };
  int64_t bytes = largest_piece (stage, graph) * (int64_t)sizeof (float);
  if (bytes == 0)
    return TRUE;
  buffer.data = pw__buffer_take (worker, PW_MEMORY_COMMUNICATION, bytes, error);
  if (!buffer.data)
    return FALSE;
  gboolean good = TRUE;
  for (int i = 0; good && i < stage->n_layers; i++)
    for (int p = 0; good && p < graph->layers[stage->first_layer + i].info.n_parameters; p++)
      good = exchange_tensor (worker, stage, &stage->parameters[i][p].gradient, &buffer, error);
  pw__memory_give (worker->memory, PW_MEMORY_COMMUNICATION, buffer.data, bytes);
  return good;
}

/* With both on this rank: the sum belongs to direction 0, whose values both use. */
static gboolean
add_all (PwWorker *worker, PwExecStage *stage, GError **error) {
  const PwGraph *graph = worker->exec->resolved->graph;
  const PwOps *ops = &worker->context.backend->ops;
  for (int i = 0; i < stage->n_layers; i++)
    for (int p = 0; p < graph->layers[stage->first_layer + i].info.n_parameters; p++) {
      PwTensor *sum = &stage->parameters[i][p].gradient;
      if (!ops->add (&worker->context, sum, &stage->replica->parameters[i][p].gradient, sum, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
pw__stage_reduce (PwWorker *worker, PwExecStage *stage, GError **error) {
  if (!pw__stage_is_folded (stage))
    return exchange_all (worker, stage, error);
  return stage->direction != 0 || add_all (worker, stage, error);
}

gboolean
pw__reduce_all (PwWorker *worker, GError **error) {
  PwExec *exec = worker->exec;
  for (int s = 0; s < exec->n_stages; s++)
    for (int place = s; place < exec->n_places; place += exec->n_stages) {
      PwExecStage *stage = &exec->stages[place];
      if (stage->rank == worker->rank && stage->replica && !pw__stage_reduce (worker, stage, error))
        return FALSE;
    }
  return TRUE;
}
