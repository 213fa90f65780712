/* Schedules as text: one row per rank, one cell per action, in PyTorch's grammar.
 *
 *   0F0,0F1,0B0,0B1            0F0,0SEND_F0,...
 *   ,1F0,1B0,1F1,1B1           (0F4;7B2)OVERLAP_F_B
 *
 * Empty cells are idle ticks; they are read and dropped. Both dialects are read (today's I/W/B and
 * the one before late 2024 where B is the input gradient and BW the full backward); today's is
 * written. WAIT_SEND_F, WAIT_REDUCE_GRAD and their like are read and dropped; a lowered schedule in
 * PyTorch's dialect gets them anew, since today's PyTorch refuses a send that is not waited for.
 *
 * Two additions are ours: (0SEND_F1;0RECV_B0)GROUP is a batched group, and 0SEND_F1@3 a message of
 * stage edge 3, written where that is not the chain's edge. */
#pragma once
#include "schedules/schedule.h"
#include "schedules/stages.h"

typedef enum { PW_CSV_OURS, PW_CSV_TORCH /* leaves out what PyTorch has no name for */ } PwCsvDialect;

char *pw_schedule_to_csv (const PwSchedule *schedule, PwCsvDialect dialect);
/* A copy with REDUCE_GRAD of each stage behind its last B or W, if there is none at all: PyTorch
 * neither scales nor sums the gradients of a lowered file without. */
PwSchedule *pw_schedule_add_reductions (const PwSchedule *schedule);
/* FILE names the text in messages: "FILE: row 2, cell 7: ...". Ranks, stages, micro-batches, level,
 * mode and placement follow from the cells. EDGES NULL: a chain, to number the edges of messages. */
PwSchedule *pw_schedule_from_csv (const char *file, const char *text, const PwStageEdges *edges,
                                  GError **error);
