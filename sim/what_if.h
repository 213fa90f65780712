/* Questions of the form "what if": changes to costs and plans, as text.
 *
 *   changes := change { "," change }
 *   change  := target ":" value
 *   target  := "link" [A-B] | "latency" [A-B] | "bandwidth" [A-B]    links, or those of two ranks
 *            | "rank" [N] | "stage" [N]                              what computes
 *            | "reduce" [N]                                          a stage's REDUCE_GRAD
 *            | "microbatches"
 *   value   := NUMBER "x"               so many times as fast; micro-batches: so many times as many
 *            | "=" NUMBER [UNIT]        latency, bandwidth, micro-batches: the new value
 *            | ("+" | "-") N "layer"[s] of one stage: taken from or given to a neighbour
 *
 * Targets may be plural. */
#pragma once
#include "plans/costs.h"
#include "schedules/placement.h"
#include "sim/sim.h"

#define PW_WHAT_IF_ERROR (pw_what_if_error_quark ())
GQuark pw_what_if_error_quark (void);
typedef enum {
  PW_WHAT_IF_ERROR_SYNTAX, /* the message has the character's number, from 1 */
  PW_WHAT_IF_ERROR_VALUE   /* a rank, stage or link that is not there */
} PwWhatIfError;

typedef enum {
  PW_WHAT_IF_LINK,
  PW_WHAT_IF_LATENCY,
  PW_WHAT_IF_BANDWIDTH,
  PW_WHAT_IF_RANK,
  PW_WHAT_IF_STAGE,
  PW_WHAT_IF_REDUCE,
  PW_WHAT_IF_MICROBATCHES,
  PW_WHAT_IF_LAYERS
} PwWhatIfKind;

typedef struct {
  PwWhatIfKind kind;
  int from, to;         /* a rank or stage in `from`, the ranks of a link; -1: all */
  gboolean is_absolute; /* `value` is the new one, not a factor */
  double value;         /* LAYERS: how many more */
} PwWhatIfChange;

/* Array of PwWhatIfChange. */
GArray *pw_what_if_parse (const char *text, GError **error);
/* Some change is of more than costs: the plan must be resolved again. */
gboolean pw_what_if_changes_plan (const GArray *changes);
/* Those changes that are of COSTS; the others are passed over. */
gboolean pw_what_if_apply (const GArray *changes, const PwPlacement *placement,
                           const PwStageEdges *edges, PwStageCosts *costs, GError **error);

/* What one rank, one stage, one link, all links or all exchanges of gradients decide: the iteration
 * if each alone, and nothing else, were 1% faster. ITERATION_TIME is what it is now. Array of
 * PwSimSensitivity, the largest gain first. In two directions links are not told apart. */
typedef struct {
  PwWhatIfKind kind; /* RANK, STAGE, LINK, REDUCE */
  int from, to;      /* as of a change */
  double iteration_time;
  double gain; /* share of the iteration that is saved */
} PwSimSensitivity;
GArray *pw_sim_sensitivities (const PwSimInput *input, double iteration_time, GError **error);
