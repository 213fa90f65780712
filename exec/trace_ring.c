#include "exec/trace_ring_private.h"

#include <string.h>

typedef struct {
  int32_t iteration;
  double time;
  PwMemoryUse use;
} Sample;

struct PwTraceRing {
  gsize capacity;
  gsize n_records, n_samples; /* ever written; the newest `capacity` are there */
  PwTraceRecord *records;
  Sample *samples;
};

PwTraceRing *
pw__trace_ring_new (void) {
  return g_new0 (PwTraceRing, 1);
}

void
pw__trace_ring_free (PwTraceRing *ring) {
  if (!ring)
    return;
  g_free (ring->records);
  g_free (ring->samples);
  g_free (ring);
}

void
pw__trace_ring_reserve (PwTraceRing *ring, gsize n) {
  if (n <= ring->capacity)
    return;
  PwTraceRecord *records = g_new (PwTraceRecord, n);
  Sample *samples = g_new (Sample, n);
  gsize kept = MIN (ring->n_records, ring->capacity);
  for (gsize i = 0; i < kept; i++)
    records[i] = ring->records[(ring->n_records - kept + i) % ring->capacity];
  ring->n_records = kept;
  kept = MIN (ring->n_samples, ring->capacity);
  for (gsize i = 0; i < kept; i++)
    samples[i] = ring->samples[(ring->n_samples - kept + i) % ring->capacity];
  ring->n_samples = kept;
  g_free (ring->records);
  g_free (ring->samples);
  ring->records = records;
  ring->samples = samples;
  ring->capacity = n;
}

void
pw__trace_ring_add (PwTraceRing *ring, const PwTraceRecord *record) {
  ring->records[ring->n_records++ % ring->capacity] = *record;
}

void
pw__trace_ring_add_memory (PwTraceRing *ring, int32_t iteration, double time,
                           const PwMemoryUse *use) {
  ring->samples[ring->n_samples++ % ring->capacity]
      = (Sample){ .iteration = iteration, .time = time, .use = *use };
}

void
pw__trace_ring_collect (const PwTraceRing *ring, int rank, int32_t first, PwTrace *trace) {
  gsize kept = MIN (ring->n_records, ring->capacity);
  for (gsize i = ring->n_records - kept; i < ring->n_records; i++) {
    const PwTraceRecord *record = &ring->records[i % ring->capacity];
    if (record->iteration >= first)
      g_array_append_val (trace->records, *record);
  }
  kept = MIN (ring->n_samples, ring->capacity);
  for (gsize i = ring->n_samples - kept; i < ring->n_samples; i++) {
    const Sample *sample = &ring->samples[i % ring->capacity];
    if (sample->iteration < first)
      continue;
    PwTraceMemory memory = { .time = sample->time, .rank = rank };
    memcpy (memory.bytes, sample->use.bytes, sizeof memory.bytes);
    g_array_append_val (trace->memory, memory);
  }
}
