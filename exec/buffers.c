#include "exec/exec_private.h"

void *
pw__buffer_take (PwWorker *worker, PwMemoryCategory category, int64_t bytes, GError **error) {
  /* Near the limit, what has been sent in the meantime may make room. */
  if (pw__memory_is_short (worker->memory, bytes))
    pw__poll_sends (worker);
  void *data = pw__memory_take (worker->memory, category, bytes, error);
  if (!data)
    g_prefix_error (error, "rank %d: ", worker->rank);
  return data;
}

gboolean
pw__slot_take (PwWorker *worker, PwSlot *slot, PwMemoryCategory category, int64_t bytes,
               int holders, GError **error) {
  slot->data = pw__buffer_take (worker, category, bytes, error);
  if (!slot->data)
    return FALSE;
  slot->bytes = bytes;
  slot->category = category;
  slot->holders = holders;
  slot->owner = NULL;
  slot->request = NULL;
  return TRUE;
}

void
pw__slot_drop (PwWorker *worker, PwSlot *slot) {
  g_assert (slot->holders > 0);
  if (--slot->holders > 0)
    return;
  pw__memory_give (worker->memory, slot->category, slot->data, slot->bytes);
  slot->data = NULL;
}

void
pw__slot_release (PwWorker *worker, PwSlot *slot) {
  PwSlot *owner = slot->owner;
  if (owner) {
    slot->owner = NULL;
    slot->data = NULL;
    pw__slot_drop (worker, owner);
    return;
  }
  if (slot->holders > 1 && slot->category == PW_MEMORY_STASH) {
    pw__memory_move (worker->memory, PW_MEMORY_STASH, PW_MEMORY_BOUNDARY, slot->bytes);
    slot->category = PW_MEMORY_BOUNDARY;
  }
  pw__slot_drop (worker, slot);
}

static void
reset_slot (PwWorker *worker, PwSlot *slot) {
  if (slot->owner)
    pw__slot_release (worker, slot);
  else if (slot->data) {
    slot->holders = 1;
    pw__slot_drop (worker, slot);
  }
}

void
pw__microbatch_drop_targets (PwWorker *worker, PwMicrobatch *microbatch) {
  const PwGraph *graph = worker->exec->resolved->graph;
  if (!microbatch->targets)
    return;
  pw__memory_give (worker->memory, PW_MEMORY_BOUNDARY, microbatch->targets,
                   microbatch->samples * pw_shape_bytes (&graph->target));
  microbatch->targets = NULL;
}

void
pw__microbatch_reset (PwWorker *worker, PwExecStage *stage, PwMicrobatch *microbatch) {
  for (int w = 0; w < PW_WALK_N; w++)
    for (int b = 0; b < stage->walks[w].lifetimes->n_buffers; b++)
      reset_slot (worker, &microbatch->slots[w][b]);
  for (int i = 0; i < stage->n_out; i++) {
    PwPart *part = &microbatch->parts[i];
    if (part->data)
      pw__memory_give (worker->memory, PW_MEMORY_BOUNDARY, part->data, part->bytes);
    *part = (PwPart){ 0 };
  }
  pw__microbatch_drop_targets (worker, microbatch);
  microbatch->phase = PW_MICROBATCH_EMPTY;
}
