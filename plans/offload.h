/* Stages whose stashes go to the host's memory until their gradients are near. As text "none",
 * "stash" (all stages) or "stages:0,2"; in a plan file also {"stages": [0, 2]}. */
#pragma once
#include "plans/plan.h"
#include "plans/resolve.h"

/* A PwJsonKey's `read`: FIELD is a char *, which becomes the text. */
gboolean pw__plan_read_offload (PwJsonPlace place, json_t *value, void *field, GError **error);
/* RESOLVED's `offloaded`, and the copies' times in its costs; of micro-batches in PIECES. */
gboolean pw__resolve_offload (const PwPlan *plan, PwResolvedPlan *resolved, int pieces,
                              GError **error);
/* [STAGES] of TEXT, NULL: none; FALSE with an error of PW_PLAN_ERROR_VALUE. */
gboolean pw_offload_parse (const char *text, int stages, gboolean **offloaded, GError **error);
