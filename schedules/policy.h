/* Transport policies: who waits for whom when messages are sent. One table, used by checker,
 * simulator and executor.
 *
 *   policy         queue                    what blocks the program      a send is done when
 *   buffered       none                     nothing                      at once
 *   rendezvous     none                     SEND and RECV, in order      its receive has the data
 *   shared-stream  one per rank             only the consuming compute   both at their queues' heads
 *   per-peer       (rank, peer)             same                         and the transfer ended
 *   per-edge       (edge, F or B, direction) same                        same
 *
 * A RECV posts; the wait belongs to the compute that consumes. A batched group (consecutive messages
 * chained by `grouped`) is one queue entry, complete when all its members are. A group whose members
 * belong to several queues stands in each of them: a member is transferred when the group is at the
 * head of that member's queue at both ends, and all the queues move on together. A blocking program
 * stops until the whole group is complete. */
#pragma once
#include <glib.h>

typedef enum {
  PW_POLICY_BUFFERED,
  PW_POLICY_RENDEZVOUS,
  PW_POLICY_SHARED_STREAM,
  PW_POLICY_PER_PEER,
  PW_POLICY_PER_EDGE,
  PW_POLICY_N
} PwPolicy;
#define PW_POLICY_DEFAULT PW_POLICY_PER_EDGE

typedef enum { PW_QUEUE_NONE, PW_QUEUE_RANK, PW_QUEUE_PEER, PW_QUEUE_EDGE } PwQueueScope;
typedef struct {
  const char *name;
  const char *summary;
  PwQueueScope queue;
  gboolean blocks_program; /* SEND and RECV stop the rank's program until done */
  gboolean needs_receiver; /* a transfer starts only when its receive is posted */
} PwPolicyInfo;
extern const PwPolicyInfo pw_policies[PW_POLICY_N];
/* NULL-terminated names, in enum order; for option tables. */
extern const char *const pw_policy_names[PW_POLICY_N + 1];
gboolean pw_policy_parse (const char *name, PwPolicy *policy);
