/* One fault planted into a valid schedule, and what a checker has to say about it. */
#pragma once
#include "schedules/check.h"

typedef struct {
  PwSchedule *schedule; /* plain lists; changed in place */
  PwAction action;      /* the action that was changed, as it was */
  PwAction result;      /* what it was changed to; the same where only its place changed */
  int rank;             /* whose list was changed */
  int new_rank;         /* where the action is now */
  int64_t index;        /* in NEW_RANK's list where it is now; where it was if it is gone */
} Mutant;

#define CODE(NAME) (1u << PW_SCHEDULE_ERROR_##NAME)

typedef struct {
  const char *name;
  gboolean lowered_only;
  unsigned needs; /* bits of codes: each must be found, of the action */
  unsigned may;   /* further codes that are right, too */
  /* Picks an action at random; FALSE if there is none that fits. */
  gboolean (*apply) (Mutant *mutant);
} Mutation;

extern const Mutation mutations[];
extern const int n_mutations;

/* Any two of one list changed places: anything may be the verdict. FALSE: the list is too short. */
gboolean mutation_swap (Mutant *mutant);
/* Two messages that stand next to each other. */
gboolean mutation_swap_messages (Mutant *mutant);
