/* What a worker remembers for the trace: rings of fixed size, written without allocation. */
#pragma once
#include "exec/memory_private.h"
#include "traces/trace.h"

typedef struct PwTraceRing PwTraceRing;
PwTraceRing *pw__trace_ring_new (void);
void pw__trace_ring_free (PwTraceRing *ring);
/* Room for N records and as many memory samples; keeps what is there. Not while a run is on. */
void pw__trace_ring_reserve (PwTraceRing *ring, gsize n);
/* Times are seconds of the monotonic clock. */
void pw__trace_ring_add (PwTraceRing *ring, const PwTraceRecord *record);
void pw__trace_ring_add_memory (PwTraceRing *ring, int32_t iteration, double time,
                                const PwMemoryUse *use);
/* Adds what belongs to iterations from FIRST on to TRACE, with its times as they are. */
void pw__trace_ring_collect (const PwTraceRing *ring, int rank, int32_t first, PwTrace *trace);
