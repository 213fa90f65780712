/* A plan as text, resolved, with an executor and random data: what most tests here start from. */
#pragma once
#include "exec/data.h"
#include "exec/exec.h"

#define PW_TEST_MLP "{'name': 'mlp', 'input': 9, 'width': 12, 'depth': 5, 'output': 7}"
#define PW_TEST_GPT                                                                                \
  "{'name': 'gpt', 'blocks': 4, 'width': 16, 'heads': 2, 'tokens': 8, 'vocabulary': 32}"
#define PW_TEST_LIST                                                                               \
  "{'layers': [{'type': 'linear', 'in': 9, 'out': 14}, {'type': 'gelu'},"                          \
  "{'type': 'layernorm', 'features': 14}, {'type': 'linear', 'in': 14, 'out': 9},"                 \
  "{'type': 'relu'}, {'type': 'linear', 'in': 9, 'out': 5}], 'loss': 'mse'}"

typedef struct {
  PwPlan *plan;
  PwResolvedPlan *resolved;
  PwDataset *dataset;
  void *inputs, *targets; /* of one mini-batch */
} ExecCase;

/* TEXT is JSON with ' for "; MEMBERS of the object, without its braces. */
ExecCase *exec_case_new (const char *members, const PwResolveOptions *options);
void exec_case_free (ExecCase *c);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ExecCase, exec_case_free)

/* STEPS mini-batches of EXEC on program 0; returns the SHA-256 of the parameters, fills LOSSES. */
char *exec_case_train (ExecCase *c, PwExec *exec, int steps, double *losses);
/* MODEL (JSON) under SCHEDULE (members of the plan's "schedule"), balanced by FLOPs, with a
 * mini-batch that the micro-batches do not divide; MORE: further members, ", ..." or "". */
ExecCase *exec_case_new_scheduled (const char *model, const char *schedule, const char *more,
                                   int ranks, int microbatches);
/* Whether the executor trains what TYPE makes, and TYPE takes these numbers. */
gboolean exec_case_trains (const PwScheduleType *type);
gboolean exec_case_allows (const PwScheduleType *type, int ranks, int microbatches);
/* A new executor, trained as above. TRANSPORT NULL: threads. */
char *exec_case_train_new (ExecCase *c, gboolean sequential, const PwTransport *transport,
                           int steps, double *losses);
/* As exec_case_train, of an endless schedule: STEPS mini-batches without a flush. */
char *exec_case_stream (ExecCase *c, PwExec *exec, int steps, double *losses);
void exec_case_fill (int64_t step, void *inputs, void *targets, gpointer data); /* DATA: C */
/* Losses and parameters after STEPS are those of sequential training, to the last bit. */
void exec_case_compare_with_sequential (ExecCase *c, const PwTransport *transport, int steps);
/* The forwards of LOWERED with their messages, or all the rest. */
PwSchedule *exec_case_half (const PwSchedule *lowered, gboolean forward);
/* Mini-batch STEP as a batch; points into C. */
PwExecBatch exec_case_batch (ExecCase *c, int64_t step);

/* A transport over the threads' whose calls are delayed at random. */
extern const PwTransport exec_case_delayed;
