/* What a command works on: a plan with overrides, or synthetic costs. Both share option names
 * (--ranks), so options are collected first and read when it is known which of the two it is. */
#pragma once
#include "cli/help.h"
#include "pipewright/simulate.h"
#include "schedules/schedule.h"

/* Options in the order given; an option that is given twice has its last value. */
PwSettings *pw_settings_new (void);
PwSettings *pw_settings_copy (const PwSettings *settings);
/* "ranks=4 schedule=1f1b", in the order given. */
char *pw_settings_describe (const PwSettings *settings);
void pw_settings_free (PwSettings *settings);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwSettings, pw_settings_free)
/* Of the shared options, without dashes; NULL if none is like NAME. */
const char *pw_settings_nearest (const char *name);
/* Whether NAME is one, for a plan or for synthetic costs. */
gboolean pw_settings_is_option (const char *name, gboolean for_plans);
/* The options that COMMAND takes, which add to SETTINGS; it must be their group's user data. */
PwOptionList pw_settings_options (PwSettings *settings, const PwCommand *command);
const char *pw_settings_get (const PwSettings *settings, const char *name); /* NULL: not given */
void pw_settings_set (PwSettings *settings, const char *name, const char *value);

/* The plan FILE with the overrides; options for synthetic costs are refused. */
PwPlan *pw_workload_plan (const PwSettings *settings, const char *file, GError **error);
/* PLAN as its file has it, with the overrides and SCHEDULE, but without those options that the
 * schedule's type does not take; NULL: with the overrides alone. PLAN is left alone. */
PwPlan *pw_workload_plan_with (const PwSettings *settings, const PwPlan *plan, const char *schedule,
                               GError **error);
/* A plan that says what the options say of a machine alone: --backend, --transport, --ranks (0: not
 * given), --share-devices. Others are refused. */
PwPlan *pw_workload_machine (const PwSettings *settings, GError **error);
gboolean pw_workload_iterations (const PwSettings *settings, int *iterations, GError **error);

/* A PwSynthetic with what it points to. */
typedef struct {
  PwSynthetic synthetic;
  GArray *forward, *backward, *input, *weight; /* double */
} PwWorkloadSynthetic;
/* Options for plans are refused. REQUIRED: --schedule, --ranks and --microbatches must be given
 * unless the schedule is a file; else 4 ranks and twice as many micro-batches are the default. */
gboolean pw_workload_synthetic (const PwSettings *settings, gboolean required,
                                PwWorkloadSynthetic *out, GError **error);
void pw_workload_synthetic_clear (PwWorkloadSynthetic *synthetic);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PwWorkloadSynthetic, pw_workload_synthetic_clear)
/* Options that TYPE does not take go back to their defaults. */
void pw_workload_drop_options (PwScheduleParams *params, const PwScheduleType *type);

/* A misspelt name is a mistake of the call, not of a schedule; files are not looked into. */
gboolean pw_workload_check_schedule (const char *option, const char *name, GError **error);
/* The schedule that `schedule show`, `check` and `export` are about: the plain argument, or
 * --schedule; becomes the setting "schedule". FALSE if neither was given. */
gboolean pw_workload_name_schedule (PwCall *call, GError **error);

/* Command-line numbers. NAME is the option's, for messages: "--seconds: ...". */
gboolean pw_number_parse (const char *name, const char *text, double minimum, double maximum,
                          double *number, GError **error);
/* "5%" or "0.05"; MAXIMUM is a fraction, too. */
gboolean pw_fraction_parse (const char *name, const char *text, double maximum, double *fraction,
                            GError **error);
gboolean pw_integer_parse (const char *name, const char *text, int64_t minimum, int64_t maximum,
                           int64_t *number, GError **error);
