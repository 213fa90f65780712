/* The definitions, word for word and slowly: an action starts at the maximum of everything it waits
 * for. Starting from zero all actions are put off until nothing changes any more. */
#pragma once
#include "cases.h"

typedef struct {
  int64_t n;
  double *start, *end; /* rank after rank, in list order */
} Reference;
/* NULL: somebody waits for himself. */
Reference *reference_run (const Case *c);
void reference_free (Reference *reference);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Reference, reference_free)

/* For each action the ids of those whose ends it waits for, so NULL behind the last; those of a
 * RECV and of a pair's second action mean nothing. For g_array_unref and g_free. */
GArray **reference_waits (const Case *c);

/* From the sender of a SEND or RECV to its receiver. */
PwPath reference_path (const Case *c, PwAction message);
/* What an action takes, alone or in its pair. */
double reference_duration (const Case *c, int rank, int64_t index);
