/* Finds an order: given what each stage costs, which memory each rank has and how many
 * micro-batches there are, a compute schedule as short as possible, and a proven bound on how short
 * any can be.
 *
 * Stage r stands on rank r (one chunk), or stages r and 2P-1-r do (two chunks: a V). The backward
 * is split: every stage runs F, I and W once per micro-batch, whole; messages take the chain's
 * links, an edge and direction carrying one at a time (policy per-edge); weights are updated after
 * the last W. Micro-batches are alike
 * (`factor` of the costs is not looked at), so every stage takes them in ascending order.
 *
 * What an order is worth is what the simulator says of it when each action starts as early as
 * its rank's list allows:
 *   iteration   the end of the last action
 *   span        the longest of the ranks' own spans, first start to last end (arXiv 2401.10241) */
#pragma once
#include "plans/costs.h"
#include "schedules/schedule.h"

#define PW_SEARCH_ERROR (pw_search_error_quark ())
GQuark pw_search_error_quark (void);
typedef enum {
  PW_SEARCH_ERROR_MEMORY, /* a rank cannot hold one micro-batch */
  PW_SEARCH_ERROR_SIZE    /* too many actions to be searched */
} PwSearchError;

typedef enum { PW_OBJECTIVE_ITERATION, PW_OBJECTIVE_SPAN } PwObjective;

typedef struct {
  int ranks, microbatches;
  int chunks;                /* 1 or 2 */
  const PwStageCosts *costs; /* of ranks * chunks stages in a chain */
  /* Memory in any one unit: F adds held[stage] at its start, I frees all of that but
   * kept[stage], W the rest; at equal times frees come first. */
  const double *held, *kept; /* [stages] */
  const double *limit;       /* [ranks]; INFINITY: none */
  PwObjective objective;
} PwSearchInput;

typedef struct {
  PwSchedule *schedule; /* compute schedule, named "searched" */
  double value;         /* of the objective */
  double lower_bound;   /* no order within the memory is shorter */
  gboolean is_optimal;  /* value equals the bound, or every order was excluded */
  const char *method;   /* what found it, one word or two: "exact", "zb-h1", ... */
} PwSearchResult;

/* Deterministic: the effort depends on the size of the problem only, never on the clock. */
PwSearchResult *pw_search_run (const PwSearchInput *input, GError **error);
void pw_search_result_free (PwSearchResult *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwSearchResult, pw_search_result_free)
