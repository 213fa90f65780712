/* Traces as Chrome trace-event JSON, which Perfetto and chrome://tracing open: a process per rank,
 * one thread for compute, one for messages, counters for memory, flow arrows from send to receive.
 * What does not fit an event (action, iteration, edge, bytes) is in "args"; the header is
 * "otherData", with a format version. Reading accepts what this file writes. */
#pragma once
#include "traces/trace.h"

#define PW_TRACE_VERSION 1 /* raised when a reader of the old one would misread the new one */
#define PW_TRACE_ERROR (pw_trace_error_quark ())
GQuark pw_trace_error_quark (void);
typedef enum {
  PW_TRACE_ERROR_FORMAT,  /* what no writer of ours would have written; the message has the place */
  PW_TRACE_ERROR_VERSION, /* newer than PW_TRACE_VERSION */
  PW_TRACE_ERROR_MISMATCH /* two traces that cannot be compared */
} PwTraceError;

/* Atomic: the file appears whole or not at all. Refuses what pw_trace_check refuses. */
gboolean pw_trace_write (const PwTrace *trace, const char *path, GError **error);
/* Times come back to the last bit. Events of others are passed over; a file without any of ours is
 * an error. Errors name file, line and event; those of io/ are passed on. */
PwTrace *pw_trace_read (const char *path, GError **error);
