/* The rows of synthetic costs, shared by their reading and by the list of options. */
#pragma once
#include "cli/workload.h"

typedef enum {
  PW_ROW_TEXT,
  PW_ROW_INT,
  PW_ROW_NUMBER,
  PW_ROW_NUMBERS, /* "1" or "1,2,3": a GArray * of double in PwWorkloadSynthetic */
  PW_ROW_FLAG,
  PW_ROW_NAME,   /* one of `names`, by its number */
  PW_ROW_GROUP,  /* a number or a rule's name */
  PW_ROW_POLICY, /* a policy's name, or `all` where the command says so */
  PW_ROW_SHARE   /* stage or rank */
} PwSyntheticKind;

typedef struct {
  const char *name, *argument;
  const char *help;        /* NULL: the option is an override of plans as well, with its help */
  const char *shared_help; /* of such a one, where it means something else here */
  PwSyntheticKind kind;
  gsize offset; /* in PwWorkloadSynthetic */
  double minimum, maximum;
  const char *const *names;
  gboolean for_plans; /* one of our own that plans take too */
} PwSyntheticRow;
const PwSyntheticRow *pw__synthetic_rows (gsize *n);
const PwSyntheticRow *pw__synthetic_row (const char *name);

/* The name of option I in the order given, NULL behind the last. */
const char *pw__settings_name (const PwSettings *settings, guint i);
