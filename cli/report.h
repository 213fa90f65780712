/* A simulation's result, as `simulate` and `compare` print it. */
#pragma once
#include "cli/table.h"
#include "pipewright/verdict.h"
#include "pipewright/what_if.h"
#include "sim/what_if.h"
#include <jansson.h>

/* Idle time of all ranks together. */
void pw_report_idle (const PwSimResult *result, double idle_by_cause[PW_IDLE_N]);
/* The keys of `simulate --json`, in their order. */
json_t *pw_report_json (const PwSimulation *simulation, gboolean no_timing);
/* The block of figures and the table of ranks. */
void pw_report_print (const PwSimulation *simulation);

/* A sentence on the first rank that needs more than LIMIT (bytes, or micro-batches of activations
 * for synthetic costs; 0: none); NULL if there is none. */
char *pw_report_excess (const PwSimulation *simulation, double limit);

/* When a rank needs most, and what that is made of. */
void pw_report_memory_add_json (const PwSimRank *rank, json_t *object);
void pw_report_memory_print (const PwSimulation *simulation);
/* A line of CSV whenever a rank's memory changes: bytes of each category from then on. */
char *pw_report_memory_csv (const PwSimResult *result);

/* The critical path: JSON per action; printed as runs of actions on one rank. */
json_t *pw_report_critical_json (const PwSimulation *simulation);
void pw_report_critical_print (const PwSimulation *simulation);

/* A line of CSV per action: when it starts and ends, and its slack. */
char *pw_report_slack_csv (const PwSimResult *result, PwSimProgram *program);

/* How the iteration's time scatters. */
json_t *pw_report_jitter_json (const PwSimJitter *jitter, const PwSimJitterResult *result);
void pw_report_jitter_print (const PwSimulation *simulation, const PwSimJitter *jitter,
                             const PwSimJitterResult *result);

/* How often an iteration takes how long, drawn as FILE. */
gboolean pw_report_jitter_plot (const PwSimulation *simulation, const PwSimJitterResult *result,
                                const char *file, GError **error);
/* Changes, NULL-terminated, and an answer to each. */
json_t *pw_report_what_if_json (char **changes, const PwWhatIfAnswer *answers);
void pw_report_what_if_print (const PwSimulation *simulation, char **changes,
                              const PwWhatIfAnswer *answers);
/* ROWS: PwSimSensitivity; printed are those that save something. */
json_t *pw_report_sensitivity_json (const GArray *rows);
void pw_report_sensitivity_print (const PwSimulation *simulation, const GArray *rows);

/* Messages between each two ranks: number, bytes, time on the link. */
json_t *pw_report_links_json (const PwSimulation *simulation);
/* Ports, buses, cards; empty where messages take links of their own. */
json_t *pw_report_resources_json (const PwSimulation *simulation);
void pw_report_links_print (const PwSimulation *simulation);

/* Why a plan does not fit ("rank 0 needs 116.8 MiB (69.9 MiB stash, ...), the memory limit is 100
 * MiB"), and what would. */
char *pw_report_verdict_sentence (const PwVerdict *verdict);
char *pw_report_verdict_advice (const PwVerdict *verdict);
json_t *pw_report_verdict_json (const PwVerdict *verdict);
void pw_report_verdict_print (const PwVerdict *verdict);
