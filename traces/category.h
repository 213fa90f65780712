/* What memory is used for and why a rank idles: one enum each, for simulator, executor and
 * plots. */
#pragma once

typedef enum {
  PW_MEMORY_PARAMETERS,
  PW_MEMORY_GRADIENTS,
  PW_MEMORY_OPTIMIZER,
  PW_MEMORY_VERSIONS, /* stashed weight versions */
  PW_MEMORY_STASH,    /* activations kept for the backward, and what a step computes on */
  PW_MEMORY_BOUNDARY, /* tensors received from or waiting to be sent to another stage */
  PW_MEMORY_COMMUNICATION, /* the transport's own buffers */
  PW_MEMORY_WORKSPACE,
  PW_MEMORY_N
} PwMemoryCategory;
extern const char *const pw_memory_names[PW_MEMORY_N + 1]; /* "parameters", ..., NULL */

/* In the order of precedence: an idle interval has the cause that ended last. */
typedef enum {
  PW_IDLE_DEPENDENCY, /* the producer had not computed it yet */
  PW_IDLE_TRANSFER,   /* the message was on the link */
  PW_IDLE_QUEUE_HEAD, /* the message stood behind others */
  PW_IDLE_MEMORY,     /* waiting for memory */
  PW_IDLE_BARRIER,    /* start and end of iteration: nothing more to do */
  PW_IDLE_N
} PwIdleCause;
extern const char *const pw_idle_names[PW_IDLE_N + 1];
