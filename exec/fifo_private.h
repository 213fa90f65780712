/* Pointers, first in, first out; grows, and then allocates no more. */
#pragma once
#include <glib.h>

typedef struct {
  gpointer *items; /* ring of `capacity`, a power of two */
  guint first, n, capacity;
} PwFifo;

static inline void
pw__fifo_push (PwFifo *fifo, gpointer item) {
  if (fifo->n == fifo->capacity) {
    guint capacity = fifo->capacity > 0 ? 2 * fifo->capacity : 8;
    gpointer *items = g_new (gpointer, capacity);
    for (guint i = 0; i < fifo->n; i++)
      items[i] = fifo->items[(fifo->first + i) & (fifo->capacity - 1)];
    g_free (fifo->items);
    *fifo = (PwFifo){ .items = items, .n = fifo->n, .capacity = capacity };
  }
  fifo->items[(fifo->first + fifo->n++) & (fifo->capacity - 1)] = item;
}

/* NULL: empty. */
static inline gpointer
pw__fifo_head (const PwFifo *fifo) {
  return fifo->n > 0 ? fifo->items[fifo->first] : NULL;
}

static inline void
pw__fifo_pop (PwFifo *fifo) {
  fifo->first = (fifo->first + 1) & (fifo->capacity - 1);
  fifo->n--;
}

static inline void
pw__fifo_clear (PwFifo *fifo) {
  g_free (fifo->items);
  *fifo = (PwFifo){ 0 };
}
