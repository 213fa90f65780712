/* Events in the order of time; of several at one time first those of the lower kind, then of the
 * lower number. No order of arrival: so engines that come across events in different orders agree.
 */
#pragma once
#include <glib.h>
#include <stdint.h>

typedef struct {
  double time;
  uint64_t order; /* kind and what, see pw__sim_event */
  int64_t more;   /* for the receiver */
} PwSimEvent;

static inline PwSimEvent
pw__sim_event (double time, int kind, int32_t what, int64_t more) {
  return (PwSimEvent){ .time = time, .order = (uint64_t)kind << 32 | (uint32_t)what, .more = more };
}
static inline int
pw__sim_event_kind (const PwSimEvent *event) {
  return (int)(event->order >> 32);
}
static inline int32_t
pw__sim_event_what (const PwSimEvent *event) {
  return (int32_t)(event->order & 0xffffffff);
}

typedef struct {
  PwSimEvent *events;
  gsize n, room;
} PwSimHeap;

void pw__sim_heap_push (PwSimHeap *heap, PwSimEvent event);
gboolean pw__sim_heap_pop (PwSimHeap *heap, PwSimEvent *event);
void pw__sim_heap_clear (PwSimHeap *heap);
