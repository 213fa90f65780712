#include "sim/heap_private.h"

#include <string.h>

/* Half the levels of a binary heap. */
#define CHILDREN 4

/* Without a branch, which would be taken at random. Times are positive, so their bits are in their
 * order. */
static inline gboolean
is_before (const PwSimEvent *a, const PwSimEvent *b) {
  uint64_t time_a, time_b;
  memcpy (&time_a, &a->time, sizeof time_a);
  memcpy (&time_b, &b->time, sizeof time_b);
  return (time_a < time_b) | ((time_a == time_b) & (a->order < b->order));
}

static inline gsize
earlier (const PwSimEvent *events, gsize i, gsize j) {
  gsize is_second = (gsize)-is_before (&events[j], &events[i]);
  return (i & ~is_second) | (j & is_second);
}

/* EVENT goes to place I or to one of its ancestors'. */
static inline void
move_up (PwSimEvent *events, gsize i, PwSimEvent event) {
  for (gsize parent; i > 0; i = parent) {
    parent = (i - 1) / CHILDREN;
    if (!is_before (&event, &events[parent]))
      break;
    events[i] = events[parent];
  }
  events[i] = event;
}

void
pw__sim_heap_push (PwSimHeap *heap, PwSimEvent event) {
  if (heap->n == heap->room) {
    heap->room = 2 * heap->room + 64;
    heap->events = g_renew (PwSimEvent, heap->events, heap->room);
  }
  move_up (heap->events, heap->n++, event);
}

/* The earliest children move up all the way down; what was last, and so is late, finds its place
 * from below. */
gboolean
pw__sim_heap_pop (PwSimHeap *heap, PwSimEvent *event) {
  if (heap->n == 0)
    return FALSE;
  PwSimEvent *events = heap->events;
  *event = events[0];
  PwSimEvent moved = events[--heap->n];
  gsize i = 0, n = heap->n, child = 1;
  for (; child + CHILDREN <= n; child = CHILDREN * i + 1) {
    gsize first = earlier (events, earlier (events, child, child + 1),
                           earlier (events, child + 2, child + 3));
    events[i] = events[first];
    i = first;
  }
  if (child < n) {
    gsize first = child;
    for (gsize other = child + 1; other < n; other++)
      first = earlier (events, first, other);
    events[i] = events[first];
    i = first;
  }
  move_up (events, i, moved);
  return TRUE;
}

void
pw__sim_heap_clear (PwSimHeap *heap) {
  g_free (heap->events);
  *heap = (PwSimHeap){ 0 };
}
