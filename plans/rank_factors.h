/* Ranks that are slower or faster than the costs say: a factor on every compute time of a rank, 1.2
 * for one that takes 20% longer. Written as "3:1.2,5:2", the others being 1, or as a list of all
 * ranks' factors, "1,1,1,1.2"; in a plan file as {"3": 1.2, "5": 2} or [1, 1, 1, 1.2]. */
#pragma once
#include "io/json.h"

/* [ranks]; NULL with an error of PW_PLAN_ERROR_VALUE. */
double *pw_rank_factors_expand (const char *text, int ranks, GError **error);
/* A PwJsonKey's `read`: FIELD is a char *, which becomes the text. */
gboolean pw_rank_factors_read (PwJsonPlace place, json_t *value, void *field, GError **error);
