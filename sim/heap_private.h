/* Events in the order of (time, sequence): of two at one time the one that was pushed first. */
#pragma once
#include <glib.h>
#include <stdint.h>

typedef struct {
  double time;
  uint64_t sequence;
  int32_t kind, what;
  int64_t version; /* for the receiver: an event it has changed its mind about */
} PwSimEvent;

typedef struct {
  PwSimEvent *events;
  gsize n, room;
  uint64_t next_sequence;
} PwSimHeap;

void pw__sim_heap_push (PwSimHeap *heap, double time, int32_t kind, int32_t what, int64_t version);
gboolean pw__sim_heap_pop (PwSimHeap *heap, PwSimEvent *event);
void pw__sim_heap_clear (PwSimHeap *heap);
