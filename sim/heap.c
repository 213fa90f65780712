#include "sim/heap_private.h"

static gboolean
is_before (const PwSimEvent *a, const PwSimEvent *b) {
  return a->time < b->time || (a->time == b->time && a->sequence < b->sequence);
}

void
pw__sim_heap_push (PwSimHeap *heap, double time, int32_t kind, int32_t what, int64_t version) {
  if (heap->n == heap->room) {
    heap->room = 2 * heap->room + 64;
    heap->events = g_renew (PwSimEvent, heap->events, (gsize)heap->room);
  }
  PwSimEvent event = {
    .time = time, .sequence = heap->next_sequence++, .kind = kind, .what = what, .version = version
  };
  gsize i = heap->n++;
  for (; i > 0 && is_before (&event, &heap->events[(i - 1) / 2]); i = (i - 1) / 2)
    heap->events[i] = heap->events[(i - 1) / 2];
  heap->events[i] = event;
}

gboolean
pw__sim_heap_pop (PwSimHeap *heap, PwSimEvent *event) {
  if (heap->n == 0)
    return FALSE;
  *event = heap->events[0];
  PwSimEvent moved = heap->events[--heap->n];
  gsize i = 0;
  for (gsize child = 1; child < heap->n; child = 2 * i + 1) {
    if (child + 1 < heap->n && is_before (&heap->events[child + 1], &heap->events[child]))
      child++;
    if (!is_before (&heap->events[child], &moved))
      break;
    heap->events[i] = heap->events[child];
    i = child;
  }
  heap->events[i] = moved;
  return TRUE;
}

void
pw__sim_heap_clear (PwSimHeap *heap) {
  g_free (heap->events);
  *heap = (PwSimHeap){ 0 };
}
