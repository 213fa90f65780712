/* What all processes of a run must know of each other before communicators can be made. Rank r is
 * in process r / (ranks per process). */
#include <string.h>
#include <unistd.h>

#include "exec/nccl_private.h"

typedef struct {
  gint32 nccl_version;
  guint32 unused; /* no padding */
  guint64 plan;
  char host[64];
} Greeting;

static int
process_count (const PwTransportState *state) {
  return state->setup.bootstrap ? state->setup.bootstrap->size : 1;
}

static int
process_of (const PwTransportState *state, int rank) {
  return rank / (state->n_ranks / process_count (state));
}

/* FNV-1a */
static guint64
hash (guint64 sum, const void *data, gsize bytes) {
  const guint8 *at = data;
  for (gsize i = 0; i < bytes; i++)
    sum = (sum ^ at[i]) * 0x100000001b3u;
  return sum;
}

/* Of what decides who sends what to whom. */
static guint64
hash_plan (const PwTransportState *state) {
  const PwPlacement *placement = state->setup.placement;
  const PwStageEdges *edges = state->setup.edges;
  int sizes[] = { placement->ranks, placement->stages, placement->directions, edges->n_edges,
                  (int)state->setup.policy };
  guint64 sum = hash (0xcbf29ce484222325u, sizes, sizeof sizes);
  sum = hash (sum, placement->rank_of_stage,
              (gsize)(placement->directions * placement->stages) * sizeof (int));
  for (int e = 0; e < edges->n_edges; e++) {
    const PwStageEdge *edge = &edges->edges[e];
    int numbers[] = { edge->producer, edge->consumer, edge->tensor };
    sum = hash (sum, numbers, sizeof numbers);
  }
  return sum;
}

static char *
format_version (int code) {
  return code < 10000 ? g_strdup_printf ("%d.%d.%d", code / 1000, code / 100 % 10, code % 100)
                      : g_strdup_printf ("%d.%d.%d", code / 10000, code / 100 % 100, code % 100);
}

static gboolean
compare (const Greeting *a, const Greeting *b, int number, GError **error) {
  if (a->nccl_version != b->nccl_version) {
    g_autofree char *first = format_version (a->nccl_version);
    g_autofree char *second = format_version (b->nccl_version);
    g_set_error (
        error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED,
        "nccl: process 0 (host %s) has NCCL %s, process %d (host %s) has NCCL %s: all need "
        "the same version",
        a->host, first, number, b->host, second);
    return FALSE;
  }
  if (a->plan == b->plan)
    return TRUE;
  g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_DATA,
               "nccl: process %d (host %s) runs another plan than process 0 (host %s)", number,
               b->host, a->host);
  return FALSE;
}

gboolean
pw__nccl_check_processes (const PwTransportState *state, GError **error) {
  PwBootstrap *bootstrap = state->setup.bootstrap;
  if (!bootstrap)
    return TRUE;
  if (state->n_ranks % bootstrap->size != 0) {
    g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED,
                 "nccl: %d ranks cannot be shared out evenly between %d processes", state->n_ranks,
                 bootstrap->size);
    return FALSE;
  }
  Greeting mine = { .plan = hash_plan (state) };
  int version;
  if (!pw__nccl_check ("its version", NULL, ncclGetVersion (&version), error))
    return FALSE;
  mine.nccl_version = version;
  gethostname (mine.host, sizeof mine.host - 1);
  g_autofree Greeting *all = g_new0 (Greeting, (gsize)bootstrap->size);
  if (!bootstrap->all_gather (bootstrap, &mine, all, sizeof mine, error))
    return FALSE;
  for (int p = 1; p < bootstrap->size; p++)
    if (!compare (&all[0], &all[p], p, error))
      return FALSE;
  return TRUE;
}

/* What failed in one process (OWN, which is taken) fails in all, so that none waits for it in an
 * exchange. */
static gboolean
settle (const PwTransportState *state, GError *own, GError **error) {
  enum { bytes = 256 };
  PwBootstrap *bootstrap = state->setup.bootstrap;
  g_autoptr (GError) failure = own;
  if (bootstrap) {
    char mine[bytes] = { 0 };
    g_autofree char *all = g_malloc0 ((gsize)bootstrap->size * bytes);
    g_strlcpy (mine, own ? own->message : "", sizeof mine);
    if (!bootstrap->all_gather (bootstrap, mine, all, bytes, failure ? NULL : &failure))
      all[0] = '\0';
    for (int p = 0; p < bootstrap->size && !failure; p++)
      if (all[p * bytes] != '\0')
        failure = g_error_new (PW_EXEC_ERROR, PW_EXEC_ERROR_KERNEL, "process %d: %s", p,
                               all + p * bytes);
  }
  if (!failure)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&failure));
  return FALSE;
}

/* ---- Devices ---- */

static gboolean
check_devices (const PwTransportState *state, GError **error) {
  GError *own = NULL;
  for (int r = 0; r < state->n_ranks && !own; r++)
    if (state->ranks[r].is_bad)
      own = g_error_new (PW_EXEC_ERROR, PW_EXEC_ERROR_KERNEL,
                         "rank %d: nccl: its device does not answer", r);
  return settle (state, own, error);
}

/* A device's number is the lowest rank that has it. */
static gboolean
number_devices (PwTransportState *state, GError **error) {
  for (int r = 0; r < state->n_ranks; r++) {
    PwNcclRank *rank = &state->ranks[r];
    rank->number = 0;
    while (memcmp (state->ranks[rank->number].uuid, rank->uuid, sizeof rank->uuid) != 0)
      rank->number++;
    if (process_of (state, rank->number) == process_of (state, r))
      continue;
    g_set_error (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED,
                 "nccl: ranks %d and %d are two processes on one device, which NCCL refuses: give "
                 "each process a device of its own, or run them as threads of one process",
                 rank->number, r);
    return FALSE;
  }
  return TRUE;
}

static gboolean
exchange_devices (PwTransportState *state, GError **error) {
  enum { bytes = sizeof state->ranks[0].uuid };
  PwBootstrap *bootstrap = state->setup.bootstrap;
  if (!bootstrap)
    return TRUE;
  int per_process = state->n_ranks / bootstrap->size;
  g_autofree guint8 *mine = g_malloc ((gsize)per_process * bytes);
  g_autofree guint8 *all = g_malloc ((gsize)state->n_ranks * bytes);
  for (int i = 0; i < per_process; i++)
    memcpy (mine + i * bytes, state->ranks[bootstrap->rank * per_process + i].uuid, bytes);
  if (!bootstrap->all_gather (bootstrap, mine, all, (gsize)per_process * bytes, error))
    return FALSE;
  for (int r = 0; r < state->n_ranks; r++)
    memcpy (state->ranks[r].uuid, all + r * bytes, bytes);
  return TRUE;
}

/* ---- Ids ---- */

/* The process of a communicator's lowest rank makes its id. */
static int
maker (const PwTransportState *state, const PwNcclCommunicator *communicator) {
  return communicator->is_all ? 0 : process_of (state, communicator->ranks[0]);
}

static gboolean
make_ids (PwTransportState *state, GError **error) {
  int own = state->setup.bootstrap ? state->setup.bootstrap->rank : 0;
  for (int k = 0; k < state->n_communicators; k++) {
    PwNcclCommunicator *communicator = &state->communicators[k];
    if (maker (state, communicator) == own
        && !pw__nccl_check ("an id", NULL, ncclGetUniqueId (&communicator->id), error))
      return FALSE;
  }
  return TRUE;
}

/* Each process contributes the ids it has made, in the order of their numbers. */
static gboolean
exchange_ids (PwTransportState *state, GError **error) {
  PwBootstrap *bootstrap = state->setup.bootstrap;
  if (!bootstrap)
    return TRUE;
  g_autofree int *made = g_new0 (int, (gsize)bootstrap->size);
  int most = 1;
  for (int k = 0; k < state->n_communicators; k++)
    most = MAX (most, ++made[maker (state, &state->communicators[k])]);
  g_autofree ncclUniqueId *mine = g_new0 (ncclUniqueId, (gsize)most);
  g_autofree ncclUniqueId *all = g_new0 (ncclUniqueId, (gsize)(most * bootstrap->size));
  int n = 0;
  for (int k = 0; k < state->n_communicators; k++)
    if (maker (state, &state->communicators[k]) == bootstrap->rank)
      mine[n++] = state->communicators[k].id;
  if (!bootstrap->all_gather (bootstrap, mine, all, (gsize)most * sizeof *mine, error))
    return FALSE;
  memset (made, 0, (gsize)bootstrap->size * sizeof *made);
  for (int k = 0; k < state->n_communicators; k++) {
    int p = maker (state, &state->communicators[k]);
    state->communicators[k].id = all[p * most + made[p]++];
  }
  return TRUE;
}

gboolean
pw__nccl_agree (PwTransportState *state, GError **error) {
  GError *own = NULL;
  if (!check_devices (state, error) || !exchange_devices (state, error)
      || !number_devices (state, error))
    return FALSE;
  pw__nccl_lay_out (state);
  make_ids (state, &own);
  return settle (state, own, error) && exchange_ids (state, error);
}
