/* What of the activations is made again before the backward: nothing, whole stages, whole stages
 * but for a stage's last micro-batch, or chosen layers. In a plan "none", "stage", "except-last" or
 * {"layers": ["block*.gelu", 3]}; as text the same words, or "layers:block*.gelu,3". A layer is
 * called by its name, in which "*" stands for any letters and "?" for one, or by its number. */
#pragma once
#include "plans/plan.h"
#include "models/graph.h"

/* A PwJsonKey's `read`: FIELD is the PwPlan. */
gboolean pw__plan_read_recompute (PwJsonPlace place, json_t *value, void *field, GError **error);
gboolean pw__plan_parse_recompute (PwPlan *plan, const char *text, GError **error);
/* [n_layers] whether PLAN has the layer run again; *AGAIN NULL: none. */
gboolean pw__plan_recomputed_layers (const PwPlan *plan, const PwGraph *graph, gboolean **again,
                                     GError **error);
