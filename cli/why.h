/* What `simulate` is asked beyond one simulation: how the time scatters, what every action could
 * wait, what changes would do. */
#pragma once
#include "cli/workload.h"
#include "pipewright/what_if.h"
#include <jansson.h>

typedef struct {
  /* Options. */
  char *jitter, *link_jitter, *samples, *jitter_seed, *jitter_plot, *slack;
  char **changes; /* --what-if */
  gboolean sensitivity;
  /* Answers. */
  PwSimJitter scatter;
  PwSimJitterResult *scattered;
  PwWhatIfAnswer *answers;
  GArray *sensitivities; /* PwSimSensitivity */
} PwWhy;

/* Before the simulation: whether the options can be. */
gboolean pw_why_check (PwWhy *why, const PwCall *call, GError **error);
/* SIMULATION was made from PLAN, or from SYNTHETIC (the other is NULL). */
gboolean pw_why_ask (PwWhy *why, const PwSimulation *simulation, const PwPlan *plan,
                     const PwSynthetic *synthetic, GError **error);
void pw_why_print (const PwWhy *why, const PwSimulation *simulation);
void pw_why_add_json (const PwWhy *why, json_t *object);
void pw_why_clear (PwWhy *why);
