/* What the commands that really run something share: options from the plan, Ctrl-C. */
#pragma once
#include "exec/exec.h"
#include "plans/resolve.h"

/* Shared options that change simulations only; for a command's `without`. */
extern const char *const pw_execution_without[];

/* Refuses what this version, build or machine cannot run. OPTIONS->bootstrap says which ranks are
 * here. */
gboolean pw_execution_options (const PwPlan *plan, PwExecOptions *options, GError **error);
/* Refuses what this machine has no memory for: the kernel would end the program without a word.
 * OPTIONS are those that pw_execution_options filled in; PREDICTED[ranks] is what the simulator
 * expects at each rank's peak (NULL: not wanted). */
gboolean pw_execution_check_memory (const PwPlan *plan, const PwResolvedPlan *resolved,
                                    const PwExecOptions *options, int64_t (*predicted)[PW_MEMORY_N],
                                    GError **error);
/* The same, unresolved. */
gboolean pw_execution_check_plan (const PwPlan *plan, const PwExecOptions *options, GError **error);
/* --data FILE: text to train on instead of the plan's data; NULL: nothing changes. */
void pw_execution_set_data (PwPlan *plan, const char *file);
/* From now on Ctrl-C sets the int behind the pointer; a second one ends the program as usual. */
const volatile int *pw_execution_catch_interrupt (void);
