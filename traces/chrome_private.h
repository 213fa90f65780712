/* Names that the writer and the reader must agree on. */
#pragma once

#define PW__TRACE_FORMAT "pipewright trace"
#define PW__TRACE_MEMORY "memory" /* the counter's name */
/* Trace viewers count in microseconds. A unit of a synthetic cost is shown as one of them. */
#define PW__TRACE_SCALE(unitless) ((unitless) ? 1.0 : 1e6)
