#include "exec/exec_private.h"

static void
set_error (PwWorker *worker, PwMemoryCategory category, GError *reason, GError **error) {
  const PwExec *exec = worker->exec;
  g_autoptr (GString) text = g_string_new (NULL);
  g_string_append_printf (text, "rank %d: %s", worker->rank, reason->message);
  if (exec->options.predicted_bytes) {
    const int64_t *predicted = exec->options.predicted_bytes[worker->rank];
    int64_t total = 0;
    for (int c = 0; c < PW_MEMORY_N; c++)
      total += predicted[c];
    g_string_append_printf (
        text,
        "; %s now has %" G_GINT64_FORMAT " bytes, at its peak the plan predicted "
        "%" G_GINT64_FORMAT " for it and %" G_GINT64_FORMAT " for the rank",
        pw_memory_names[category], pw__memory_use (worker->memory)->bytes[category],
        predicted[category], total);
  }
  g_set_error_literal (error, reason->domain, reason->code, text->str);
  g_error_free (reason);
}

void *
pw__buffer_take (PwWorker *worker, PwMemoryCategory category, int64_t bytes, GError **error) {
  /* Near the limit, what has been sent in the meantime may make room. */
  gboolean may_wait = !worker->in_group;
  if (may_wait && pw__memory_is_short (worker->memory, bytes))
    pw__poll_sends (worker);
  GError *reason = NULL;
  void *data = pw__memory_take (worker->memory, category, bytes, &reason);
  if (!data && worker->graph) {
    g_clear_error (&reason);
    pw__graph_drop (worker); /* its free blocks may be what is missing */
    pw__graphs_void (&worker->exec->graphs);
    data = pw__memory_take (worker->memory, category, bytes, &reason);
  }
  while (!data && worker->marks && may_wait) {
    g_autoptr (GError) failure = NULL;
    if (!pw__finish_oldest_send (worker, &failure)) {
      if (failure) {
        g_clear_error (&reason);
        g_propagate_error (error, g_steal_pointer (&failure));
        return NULL;
      }
      break;
    }
    g_clear_error (&reason);
    data = pw__memory_take (worker->memory, category, bytes, &reason);
  }
  if (!data)
    set_error (worker, category, reason, error);
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
  slot->receive.request = NULL;
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
